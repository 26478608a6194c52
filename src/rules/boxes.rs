//! What boxes on the path show of themselves.
//!
//! In:  the data file inside the program.
//! Out: the box of a page, of an address; whether an answer is the one that a connection test expects.
//! Not: whether anything was blocked.

use serde::Deserialize;

use super::file::RuleFileError;
use super::file::read_toml;
use crate::base::Address;

const FILE: &str = "boxes/known.toml";
const TEXT: &str = include_str!("../../rules/boxes/known.toml");

/// All that is known of boxes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    #[serde(rename = "page")]
    pages: Vec<Page>,
    #[serde(rename = "sinkhole")]
    sinkholes: Vec<Sinkhole>,
    #[serde(rename = "test")]
    tests: Vec<Test>,
    redirects: Vec<Redirects>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    r#box: String,
    r#in: PageField,
    has: String,
    #[expect(dead_code, reason = "for whoever reads the file")]
    source: String,
}

/// Where a page tells who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageField {
    /// Server header.
    Server,
    /// Via or Proxy-Agent header.
    Via,
    /// Location header.
    Location,
    /// X-Squid-Error header.
    XSquidError,
    /// The first bytes of the body.
    Body,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sinkhole {
    r#box: String,
    addresses: Vec<std::net::IpAddr>,
    #[expect(dead_code, reason = "for whoever reads the file")]
    source: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    host: String,
    path: String,
    body: String,
    #[expect(dead_code, reason = "for whoever reads the file")]
    source: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirects {
    host: String,
    #[expect(dead_code, reason = "for whoever reads the file")]
    source: String,
}

impl Boxes {
    /// Those that the program knows.
    pub fn embedded() -> Result<Boxes, RuleFileError> {
        read_toml("boxes", FILE, TEXT)
    }

    /// The box that shows `text` at `place`.
    pub fn page(&self, place: PageField, text: &str) -> Option<&str> {
        let text = text.to_ascii_lowercase();
        let shows = |page: &&Page| page.r#in == place && text.contains(&page.has.to_ascii_lowercase());
        self.pages.iter().find(shows).map(|page| page.r#box.as_str())
    }

    /// The box that gives this address in place of what it blocks.
    pub fn sinkhole(&self, address: Address) -> Option<&str> {
        let ip = address.to_ip();
        let known = self.sinkholes.iter().find(|sinkhole| sinkhole.addresses.contains(&ip));
        known.map(|sinkhole| sinkhole.r#box.as_str())
    }

    /// What a connection test of Windows expects to be answered; none for anything else.
    pub fn test(&self, host: &str, path: &str) -> Option<&str> {
        let asked = |test: &&Test| test.host.eq_ignore_ascii_case(host) && test.path == path;
        self.tests.iter().find(asked).map(|test| test.body.as_str())
    }

    /// Whether a host's purpose is to lead elsewhere.
    pub fn redirects(&self, host: &str) -> bool {
        self.redirects.iter().any(|redirects| redirects.host.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_told_by_what_they_show() {
        let boxes = Boxes::embedded().unwrap();
        assert_eq!(boxes.page(PageField::XSquidError, "err_access_denied 0"), Some("Squid"));
        assert_eq!(boxes.page(PageField::Server, "err_access_denied 0"), None);
        let address = |text: &str| Address::from(text.parse::<std::net::IpAddr>().unwrap());
        assert_eq!(boxes.sinkhole(address("146.112.61.106")), Some("Cisco Umbrella"));
        assert_eq!(boxes.sinkhole(address("146.112.61.109")), None);
        assert_eq!(boxes.test("WWW.msftconnecttest.com", "/connecttest.txt"), Some("Microsoft Connect Test"));
        assert!(boxes.redirects("aka.ms") && !boxes.redirects("ocsp.msocsp.com"));
    }
}
