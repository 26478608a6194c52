//! How known middleboxes can be recognised, and what the connection tests of Windows expect.
//!
//! In:  the data file inside the program.
//! Out: the vendor of a block page or of a sinkhole address; the expected response of a connection test; who sends a response.
//! Not: whether anything was blocked.

use serde::Deserialize;

use super::file::RuleFileError;
use super::file::read_toml;
use crate::base::Address;

const FILE: &str = "middleboxes/known.toml";
const TEXT: &str = include_str!("../../rules/middleboxes/known.toml");

/// All known middleboxes and connection tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Middleboxes {
    #[serde(rename = "block-page")]
    block_pages: Vec<BlockPage>,
    #[serde(rename = "sinkhole")]
    sinkholes: Vec<Sinkhole>,
    #[serde(rename = "connection-test")]
    connection_tests: Vec<ConnectionTest>,
    #[serde(rename = "redirector")]
    redirectors: Vec<Redirector>,
    #[serde(rename = "responder")]
    responders: Vec<Responder>,
}

/// Who sends responses with a text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Responder {
    #[expect(dead_code, reason = "for readers of the file")]
    title: String,
    kind: ResponderKind,
    field: PageField,
    contains: String,
    #[expect(dead_code, reason = "for readers of the file")]
    source: String,
}

/// Which kind of program sends a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponderKind {
    /// The service itself, or the content delivery network that serves its name.
    Service,
    /// A web proxy.
    Proxy,
}

/// A text by which a block page can be recognised.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockPage {
    vendor: String,
    field: PageField,
    contains: String,
    #[expect(dead_code, reason = "for readers of the file")]
    source: String,
}

/// The part of an HTTP response that shows the vendor.
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
    /// The name of a header that services set to identify a request, such as `x-azure-ref`.
    RequestId,
    /// Proxy-Status header.
    ProxyStatus,
    /// The first bytes of the body.
    Body,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sinkhole {
    vendor: String,
    #[serde(default)]
    addresses: Vec<std::net::IpAddr>,
    /// Names that aliases of blocked names lead to.
    #[serde(default)]
    aliases: Vec<String>,
    #[expect(dead_code, reason = "for readers of the file")]
    source: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionTest {
    host: String,
    path: String,
    body: String,
    #[expect(dead_code, reason = "for readers of the file")]
    source: String,
}

/// A host whose only purpose is to redirect to other hosts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirector {
    host: String,
    #[expect(dead_code, reason = "for readers of the file")]
    source: String,
}

impl Middleboxes {
    /// The data inside the program.
    pub fn embedded() -> Result<Middleboxes, RuleFileError> {
        read_toml("middleboxes", FILE, TEXT)
    }

    /// The vendor of a block page with `text` in `field`.
    pub fn block_page_vendor(&self, field: PageField, text: &str) -> Option<&str> {
        let text = text.to_ascii_lowercase();
        let matches =
            |page: &&BlockPage| page.field == field && text.contains(&page.contains.to_ascii_lowercase());
        self.block_pages.iter().find(matches).map(|page| page.vendor.as_str())
    }

    /// Which kind of program sends responses with `text` in `field`.
    pub fn responder(&self, field: PageField, text: &str) -> Option<ResponderKind> {
        let text = text.to_ascii_lowercase();
        let matches = |responder: &&Responder| {
            responder.field == field && text.contains(&responder.contains.to_ascii_lowercase())
        };
        self.responders.iter().find(matches).map(|responder| responder.kind)
    }

    /// The vendor whose resolver returns this address for names that it blocks.
    pub fn sinkhole_vendor(&self, address: Address) -> Option<&str> {
        let ip = address.to_ip();
        let known = self.sinkholes.iter().find(|sinkhole| sinkhole.addresses.contains(&ip));
        known.map(|sinkhole| sinkhole.vendor.as_str())
    }

    /// The vendor whose filter returns an alias to this name for names that it blocks.
    pub fn sinkhole_vendor_of_alias(&self, alias: &str) -> Option<&str> {
        let has_it =
            |sinkhole: &&Sinkhole| sinkhole.aliases.iter().any(|known| known.eq_ignore_ascii_case(alias));
        self.sinkholes.iter().find(has_it).map(|sinkhole| sinkhole.vendor.as_str())
    }

    /// The body that a connection test of Windows expects; `None` for any other request.
    pub fn expected_test_body(&self, host: &str, path: &str) -> Option<&str> {
        let requests = |test: &&ConnectionTest| test.host.eq_ignore_ascii_case(host) && test.path == path;
        self.connection_tests.iter().find(requests).map(|test| test.body.as_str())
    }

    /// True for a host of the connection tests of Windows.
    pub fn is_test_host(&self, host: &str) -> bool {
        self.connection_tests.iter().any(|test| test.host.eq_ignore_ascii_case(host))
    }

    /// True for a host whose only purpose is to redirect to other hosts.
    pub fn is_redirector(&self, host: &str) -> bool {
        self.redirectors.iter().any(|redirector| redirector.host.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_tests_and_redirectors_are_recognised() {
        let known = Middleboxes::embedded().unwrap();
        assert_eq!(known.block_page_vendor(PageField::XSquidError, "err_access_denied 0"), Some("Squid"));
        assert_eq!(known.block_page_vendor(PageField::Server, "err_access_denied 0"), None);
        let address = |text: &str| Address::from(text.parse::<std::net::IpAddr>().unwrap());
        assert_eq!(known.sinkhole_vendor(address("146.112.61.106")), Some("Cisco Umbrella"));
        assert_eq!(known.sinkhole_vendor(address("146.112.61.109")), None);
        let vendor = known.sinkhole_vendor_of_alias("Sinkhole.paloaltonetworks.com");
        assert_eq!(vendor, Some("Palo Alto Networks"));
        assert_eq!(known.sinkhole_vendor_of_alias("www.paloaltonetworks.com"), None);
        let body = known.expected_test_body("WWW.msftconnecttest.com", "/connecttest.txt");
        assert_eq!(body, Some("Microsoft Connect Test"));
        assert_eq!(known.responder(PageField::Server, "AkamaiGHost"), Some(ResponderKind::Service));
        assert_eq!(known.responder(PageField::Server, "squid/6.6"), Some(ResponderKind::Proxy));
        assert_eq!(known.responder(PageField::Server, "nginx"), None);
        assert!(known.is_redirector("aka.ms") && !known.is_redirector("ocsp.msocsp.com"));
    }
}
