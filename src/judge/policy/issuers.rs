//! Whether certificate issuers are on the documents' lists.
//!
//! In:  issuers as text.
//! Out: true for an issuer that is on no list.
//! Not: whether a flow is judged by it; the lists apply to documented names only.

use crate::base::WireText;
use crate::judge::bounded_map::BoundedMap;
use crate::rules::Issuer;
use crate::rules::RuleSet;

/// Issuers that are kept: a site meets a few dozen.
const MAX_ISSUERS: usize = 1 << 10;

/// Issuers, each looked up once.
#[derive(Debug)]
pub(in crate::judge) struct Issuers(BoundedMap<WireText, bool>);

impl Default for Issuers {
    fn default() -> Issuers {
        Issuers(BoundedMap::new(MAX_ISSUERS))
    }
}

impl Issuers {
    /// Whether lists are in force and none of them has the issuer.
    pub(in crate::judge) fn is_unknown(&mut self, issuer: &WireText, rules: &RuleSet) -> bool {
        if let Some(is_unknown) = self.0.get(issuer) {
            return *is_unknown;
        }
        let is_unknown = is_unknown(issuer, rules);
        self.0.insert(issuer.clone(), is_unknown);
        is_unknown
    }
}

/// By common name and by organization, because authorities are rotated without notice.
fn is_unknown(issuer: &str, rules: &RuleSet) -> bool {
    let (mut common_name, mut organization) = (String::new(), String::new());
    for (key, value) in attributes(issuer) {
        match key {
            "CN" => common_name = value,
            "O" => organization = value,
            _ => {}
        }
    }
    rules.issuer(&common_name, &organization) == Issuer::Unknown
}

/// The attributes of a distinguished name, as the reader prints it: values with separators are quoted.
fn attributes(name: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (key, after) = rest.trim_start_matches([',', '+', ' ']).split_once('=')?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let is_quoted = after.starts_with('"');
        let mut end = after.len();
        if is_quoted {
            characters.next();
        }
        while let Some((at, c)) = characters.next() {
            match c {
                '"' if is_quoted => {
                    end = at + 1;
                    break;
                }
                ',' | '+' if !is_quoted => {
                    end = at;
                    break;
                }
                '\\' if is_quoted => value.extend(characters.next().map(|(_, escaped)| escaped)),
                c => value.push(c),
            }
        }
        rest = after.get(end..).unwrap_or_default();
        if !is_quoted {
            value.truncate(value.trim_end().len());
        }
        Some((key, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::policy::Policy;

    #[test]
    fn an_issuer_is_known_by_name_or_by_organization() {
        let policy = Policy::for_tests("");
        let mut issuers = Issuers::default();
        let mut is_unknown =
            |text: &str| issuers.is_unknown(&WireText::printable(text.to_owned()), &policy.rules);
        assert!(!is_unknown("C=US, O=Microsoft Corporation, CN=Microsoft Azure RSA TLS Issuing CA 03"));
        assert!(!is_unknown("C=US, O=Microsoft Corporation, CN=A rotated authority"));
        assert!(!is_unknown("C=US, O=\"DigiCert, Inc.\", CN=GeoTrust Global TLS RSA4096 SHA256 2022 CA1"));
        assert!(!is_unknown("CN=A rotated authority, O=DigiCert Inc"));
        assert!(is_unknown("CN=\"x, O=Microsoft Corporation\""));
        assert!(is_unknown("CN=\"x\\\", O=Microsoft Corporation\""));
        assert!(is_unknown("O=Contoso Firewall, CN=Contoso inspection CA"));
        assert!(is_unknown("O=Contoso Firewall, CN=Contoso inspection CA"), "the second lookup is the same");
    }
}
