use super::*;
use crate::base::proto;
use crate::rules::Redundancy;
use crate::rules::tests::library;

fn read(text: &str) -> Result<Site, Vec<RuleFileError>> {
    Site::read("contoso.toml", text, library())
}

fn check(text: &str, expected: &[&str]) {
    let errors = read(text).err().unwrap_or_default();
    let shown: Vec<String> = errors.iter().map(|p| format!("{}: {}", p.line, p.message)).collect();
    assert_eq!(shown, expected, "{text}");
}

const WHOLE: &str = r#"
[site]
name = "Contoso"
cloud = "public"
products = ["azure-file-sync", "azure-stack-hci"]
[azure-file-sync]
region = "westus"
redundancy = "RA-GRS"
storage-accounts = ["contosofiles"]
sync-services = ["ContosoSync"]
[azure-stack-hci]
region = "East US"
key-vaults = ["contosovault"]
arc-gateways = ["abc123"]
[private-endpoints]
networks = ["10.1.2.0/24"]
[roles]
servers = ["10.0.0.0/24", "10.9.9.9"]
management-system = ["10.0.0.5"]
[proxy]
addresses = ["10.0.0.8:8080", "[fd00::8]:3128"]
[dns]
resolvers = ["10.0.0.2", "fd00::2"]
[service-tags]
file = "ServiceTags_Public_20251028.json"
[rules]
documents = ["azure-file-sync@2019-06-24"]
[[allow]]
name = "*.contoso.com"
port = 443
reason = "monitoring"
expires = 2027-01-31
[[allow]]
network = "192.0.2.0/24"
port = "123/udp"
reason = "time"
expires = 2027-02-28
"#;

#[test]
fn a_complete_site_file_is_read() {
    let site = read(WHOLE).unwrap();
    assert_eq!((site.name.as_deref(), site.cloud), (Some("Contoso"), Some(Cloud::Public)));
    assert_eq!((site.sync_region.as_deref(), site.redundancy), (Some("West US"), Some(Redundancy::RaGrs)));
    assert_eq!(site.sync_services, ["contososync"]);
    let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
    let roles_of = |text: &str| {
        let ip: IpAddr = text.parse().unwrap();
        let has_role = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&ip));
        site.roles.iter().filter(|(_, nets)| has_role(nets)).map(|(role, _)| *role).collect::<Vec<_>>()
    };
    assert_eq!(roles_of("10.0.0.5"), ["management-system", "servers"]);
    assert_eq!(roles_of("10.9.9.9"), ["servers"]);
    assert_eq!(site.proxies, [(address("10.0.0.8"), 8080), (address("fd00::8"), 3128)]);
    assert_eq!(site.allow.len(), 2);
    let allow = &site.allow[0];
    assert!(allow.matches(Some("a.contoso.com"), address("192.0.2.1"), proto::TCP, 443));
    assert!(!allow.matches(Some("a.contoso.com"), address("192.0.2.1"), proto::TCP, 444));
    assert!(!allow.matches(None, address("192.0.2.1"), proto::TCP, 443));
    assert!(!allow.expired("2027-01-31".parse().unwrap()) && allow.expired("2027-02-01".parse().unwrap()));
    let selection = site.selection();
    assert_eq!(selection.values["region"], ["West US", "East US"]);
    assert_eq!(
        library().clone().select(&selection).unwrap().documents().len(),
        8,
        "one is included, and six always apply"
    );
}

#[test]
fn an_empty_site_file_is_the_default() {
    let site = read("").unwrap();
    assert_eq!(Site { file: String::new(), sha256: Box::default(), ..site }, Site::default());
}

#[test]
fn misspelt_words_are_reported_with_their_line_and_a_suggestion() {
    check("[azure-file-sync]\nregoin = \"x\"", &["2: unknown key `regoin`, did you mean `region`?"]);
    check("[sites]", &["1: unknown key `sites`, did you mean `site`?"]);
    check("[site]\ncloud = \"pubic\"", &["2: unknown value `pubic`, did you mean `public`?"]);
    check("[azure-file-sync]\nredundancy = \"RAGRS\"", &["2: unknown value `RAGRS`, did you mean `RA-GRS`?"]);
    check(
        "[azure-file-sync]\nregion = \"Wset US\"",
        &["2: unknown region `Wset US`, did you mean `West US`?"],
    );
    check("[azure-file-sync]\nregion = \"West US 3\"", &[]);
    check("[azure-file-sync]\nregion = \"Italy North\"", &[]);
    check(
        "[azure-stack-hci]\nregion = \"india central\"",
        &["2: unknown region `india central`, did you mean `Central India`?"],
    );
    check("[azure-stack-hci]\nregion = \"EastUS2\"", &[]);
    check(
        "[site]\nproducts = [\"azure-file-snyc\"]",
        &["2: unknown product `azure-file-snyc`, did you mean `azure-file-sync`?"],
    );
    check(
        "[rules]\ndocuments = [\"azure-file-sync@2019-06-25\"]",
        &["2: unknown document `azure-file-sync@2019-06-25`, did you mean `azure-file-sync@2019-06-24`?"],
    );
    check(
        "[roles]\nhyperv-servers = []",
        &["2: unknown key `hyperv-servers`, did you mean `hyper-v-servers`?"],
    );
}

#[test]
fn type_errors_have_plain_messages() {
    check(
        "[site]\nproducts = \"azure-file-sync\"",
        &["2: expected a list, such as [\"…\"]; found string \"azure-file-sync\""],
    );
    check("[site]\nname = 3", &["2: expected a text; found integer `3`"]);
    check("[site]\ncloud = 1", &["2: expected a text"]);
    check("[allow]\nname = \"x\"", &["1: expected a list, such as [\"…\"]; found a table"]);
    let allow = "[[allow]]\nname = \"a.example.com\"\nreason = \"x\"\n";
    check(
        &format!("{allow}expires = \"2027-01-31\""),
        &["4: expected a date without quotation marks, such as 2027-01-31; found string \"2027-01-31\""],
    );
    check(
        &format!("{allow}expires = 2027-01-31\nport = 70000"),
        &["5: not a port, such as 443, \"80, 443\" or \"123/udp\""],
    );
    check(
        "[azure-file-sync]\nredundancy = \"XRS\"",
        &["2: unknown value `XRS`; expected one of LRS, ZRS, GRS, GZRS, RA-GRS, RA-GZRS"],
    );
}

#[test]
fn contradictory_values_are_rejected() {
    check("[site]\nproducts = []", &["2: empty list of products: omit the key to select all"]);
    check("[rules]\ndocuments = []", &["2: empty list of documents: omit the key to select all"]);
    check(
        "[site]\nproducts = [\"azure-local\"]",
        &["2: unknown product `azure-local`, did you mean `azure-stack-hci`?"],
    );
    check(
        "[proxy]\naddresses = [\"10.0.0.8:0\"]",
        &["2: not an address with a port, such as 10.0.0.8:8080: `10.0.0.8:0`"],
    );
    check(
        "[azure-file-sync]\nstorage-accounts = [\"ab\", \"contoso_fs\", \"contosofs.file.core.windows.net\"]",
        &[
            "2: not a valid name of a storage account: `ab`",
            "2: not a valid name of a storage account: `contoso_fs`",
            "2: not a valid name of a storage account: `contosofs.file.core.windows.net`, did you mean `contosofs`?",
        ],
    );
    check(
        "[site]\ncloud = \"public\"\n[azure-file-sync]\nregion = \"US Gov Arizona\"",
        &["4: `US Gov Arizona` is in the cloud `us-government`, but the site is in `public`"],
    );
    let allow = "[[allow]]\nname = \"a.example.com\"\nreason = \"x\"\nexpires = 2027-01-31\n";
    check(&format!("{allow}{allow}"), &["5: same exception as on line 1"]);
    check(&format!("{allow}{allow}port = 443"), &[]);
}

#[test]
fn a_region_without_a_document_gives_a_warning() {
    let warnings = |text: &str| read(text).unwrap().warnings.len();
    assert_eq!(warnings("[azure-file-sync]\nregion = \"West US\""), 0);
    assert_eq!(warnings("[azure-file-sync]\nregion = \"Italy North\""), 1);
    assert_eq!(warnings("[azure-stack-hci]\nregion = \"East US\""), 0);
    assert_eq!(warnings("[azure-stack-hci]\nregion = \"East US 2\""), 1);
    assert_eq!(warnings("[site]\nproducts = [\"azure-stack-hci\"]"), 1);
    assert_eq!(warnings("[site]\nproducts = [\"azure-file-sync\"]"), 0);
}

#[test]
fn hardware_and_version_are_checked() {
    let site = read("[azure-stack-hci]\nhardware = \"Dell\"\nversion = \"12.2504.1001.20\"").unwrap();
    assert_eq!((site.hardware.as_deref(), site.version), (Some("dell"), Some(2504)));
    check(
        "[azure-stack-hci]\nhardware = \"lenvo\"",
        &["2: unknown hardware `lenvo`, did you mean `lenovo`?"],
    );
    check(
        "[azure-stack-hci]\nversion = \"24H2\"",
        &["2: not a version, such as 2504 or 12.2504.1001.20: `24H2`"],
    );
}

#[test]
fn zone_redundant_replication_to_a_pair_is_geo_redundant() {
    let redundancy =
        |word: &str| read(&format!("[azure-file-sync]\nredundancy = \"{word}\"")).unwrap().redundancy;
    assert_eq!([redundancy("GZRS"), redundancy("RA-GZRS")], [Some(Redundancy::Grs), Some(Redundancy::RaGrs)]);
}

#[test]
fn many_exceptions_are_read_in_one_pass_up_to_the_limit() {
    let allow =
        |i: usize| format!("[[allow]]\nname = \"h{i}.example.com\"\nreason = \"x\"\nexpires = 2027-01-31\n");
    let mut text: String = (0..EXCEPTIONS).map(allow).collect();
    let site = read(&text).unwrap();
    assert_eq!((site.allow.len(), site.allow[65_534].line), (65_535, 262_137));
    text.push_str(&allow(EXCEPTIONS));
    check(&text, &["262141: more than 65535 exceptions"]);
}

#[test]
fn all_errors_are_reported_at_once() {
    check(
        "[roles]\nservers = [\"10.0.0.1/24\", \"x\"]\n[proxy]\naddresses = [\"10.0.0.8\"]\n[dns]\nresolvers = [\"a\"]\n\
             [azure-file-sync]\nstorage-accounts = [\"a.b\"]",
        &[
            "2: not a network: `10.0.0.1/24`, did you mean `10.0.0.0/24`?",
            "2: not an address or a network: `x`",
            "4: not an address with a port, such as 10.0.0.8:8080: `10.0.0.8`",
            "6: not an address: `a`",
            "8: not a valid name of a storage account: `a.b`",
        ],
    );
}

#[test]
fn an_exception_needs_a_target_a_reason_and_a_last_day() {
    check(
        "[[allow]]\n",
        &[
            "1: an exception needs a `name` or a `network`",
            "1: an exception needs a `reason`",
            "1: an exception needs an expiry date, such as `expires = 2027-01-31`",
        ],
    );
    check(
        "[[allow]]\nname = \"*.com\"\nreason = \" \"\nexpires = 2027-01-31\nport = \"443/sctp\"",
        &[
            "1: an exception needs a `reason`",
            "2: not a host pattern: `*.com`: a wildcard needs two labels after it",
            "5: not a port: `443/sctp`",
        ],
    );
    check(
        "[[allow]]\nname = \"a.example.com\"\nreason = \"x\"\nexpires = 07:32:00",
        &["4: not a date: `07:32:00`"],
    );
    check("[[allow]]\nname = \"a.example.com\"\nreason = \"x\"\nexpires = 2027-01-31", &[]);
}
