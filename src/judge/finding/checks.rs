//! The checks: each looks at one finished flow and may add a finding.

mod site;

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::port;
use crate::base::proto;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::judge::diagnosis::block_pages::named_box;
use crate::judge::diagnosis::explicit_refusals::is_word;
use crate::judge::diagnosis::outcome::is_silence;
use crate::judge::finding::collector::Findings;
use crate::judge::finding::collector::Occurrence;
use crate::judge::finding::collector::Target;
use crate::judge::flow_state::FlowState;
use crate::judge::flow_state::NameClaim;
use crate::judge::policy::CipherList;
use crate::judge::policy::Policy;
use crate::judge::policy::name_table::Contradiction;
use crate::judge::policy::name_table::KnownName;
use crate::judge::policy::name_table::add_once;
use crate::judge::policy::scope::Scope;
use crate::judge::policy::verdict::Verdict;
use crate::judge::rows::Confidence;
use crate::judge::rows::DestinationVerdict;
use crate::judge::rows::Documented;
use crate::judge::rows::FlowRow;
use crate::judge::rows::Outcome;
use crate::judge::rows::PortVerdict;
use crate::read::NameSource;
use crate::rules::PageField;

/// A flow with all that is known of it.
#[derive(Clone, Copy)]
pub(in crate::judge) struct Seen<'a> {
    pub(in crate::judge) case: &'a FlowState,
    pub(in crate::judge) flow_end: &'a FlowEnd,
    pub(in crate::judge) verdict: &'a Verdict<'a>,
    pub(in crate::judge) scope: &'a Scope,
    pub(in crate::judge) policy: &'a Policy,
    pub(in crate::judge) row: &'a FlowRow,
}

/// One check: what it looks for, and how it says so. `finds` runs for every flow and must be cheap; the texts are asked for
/// only when a finding is new.
struct Check {
    code: &'static str,
    proof: Proof,
    finds: fn(&Seen<'_>) -> bool,
    sentence: fn(&Seen<'_>) -> String,
}

/// What proves a finding, and so how early it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Proof {
    /// Names and words, before the flow is over.
    Words,
    /// A reset or an ICMP error.
    Refusal,
    /// The end of the flow.
    End,
    /// That nothing came, for as long as the flow was watched.
    Silence,
}

const CHECKS: &[Check] = &[
    Check { code: "AFS101", proof: Proof::Words, finds: is_not_documented, sentence: not_documented },
    Check { code: "AFS102", proof: Proof::Words, finds: is_too_broad, sentence: too_broad },
    Check { code: "AFS103", proof: Proof::Words, finds: is_not_on_443, sentence: not_on_443 },
    Check { code: "AFS104", proof: Proof::Words, finds: is_cleartext, sentence: cleartext },
    Check { code: "AFS105", proof: Proof::End, finds: is_inbound, sentence: inbound },
    Check { code: "AFS106", proof: Proof::End, finds: is_nameless, sentence: nameless },
    Check { code: "AFS107", proof: Proof::Words, finds: is_contradicted, sentence: contradiction },
    Check { code: "AFS108", proof: Proof::Words, finds: is_not_tls_on_443, sentence: not_tls_on_443 },
    Check { code: "AFS109", proof: Proof::Words, finds: is_inspected, sentence: inspected },
    Check { code: "AFS110", proof: Proof::Words, finds: offers_old_tls, sentence: old_tls },
    Check { code: "AFS111", proof: Proof::Words, finds: lacks_suites, sentence: no_suite },
    Check { code: "AFS112", proof: Proof::Words, finds: chose_old_tls, sentence: old_choice },
    Check { code: "AFS201", proof: Proof::Refusal, finds: is_refused, sentence: refused },
    Check { code: "AFS202", proof: Proof::Silence, finds: is_unanswered, sentence: unanswered },
    Check { code: "AFS203", proof: Proof::Refusal, finds: |seen| looks(seen, is_reset), sentence: cut_off },
    Check { code: "AFS204", proof: Proof::Refusal, finds: |seen| looks(seen, is_forged), sentence: forged },
    Check {
        code: "AFS205",
        proof: Proof::End,
        finds: |seen| looks(seen, is_black_hole),
        sentence: swallowed,
    },
    Check {
        code: "AFS206",
        proof: Proof::End,
        finds: |seen| looks(seen, is_plain_answer),
        sentence: plain_answer,
    },
    Check { code: "AFS207", proof: Proof::End, finds: |seen| looks(seen, is_page), sentence: paged },
    Check { code: "AFS211", proof: Proof::End, finds: |seen| looks(seen, is_alert), sentence: alerted },
    Check {
        code: "AFS212",
        proof: Proof::End,
        finds: |seen| looks(seen, is_disbelief),
        sentence: disbelieved,
    },
    Check {
        code: "AFS213",
        proof: Proof::End,
        finds: |seen| looks(seen, is_own_alert),
        sentence: alerted_itself,
    },
    Check { code: "AFS221", proof: Proof::End, finds: |seen| looks(seen, is_proxy), sentence: proxy_refused },
    Check { code: "AFS222", proof: Proof::End, finds: |seen| looks(seen, is_sign_in), sentence: proxy_wants },
    Check { code: "AFS223", proof: Proof::End, finds: |seen| looks(seen, is_portal), sentence: portal },
];

/// Sentences of the documents that a finding cites besides the rows of the destination, by their subject.
const CITES: &[(&str, &str)] = &[
    ("AFS101", "allowlist"),
    ("AFS102", "broad"),
    ("AFS103", "port"),
    ("AFS104", "encryption"),
    ("AFS105", "outbound-only"),
    ("AFS106", "allowlist"),
    ("AFS404", "routing"),
    ("AFS405", "no-smb"),
    ("AFS411", "private-link"),
    ("AFS412", "hosts-file"),
    ("AFS413", "private-link"),
    ("AFS421", "proxy"),
    ("AFS461", "tunnel"),
];

/// What is cited where no row names the destination: that there are lists, and that they are what is allowed.
const NOT_LISTED: &str = "allowlist";

/// Runs all checks over a finished flow, adds the findings, and returns their codes.
pub(in crate::judge) fn run(seen: &Seen<'_>, findings: &mut Findings) -> SmallVec<[&'static str; 2]> {
    let mut codes: SmallVec<[&'static str; 2]> = SmallVec::new();
    for check in CHECKS.iter().chain(site::CHECKS).filter(|check| (check.finds)(seen)) {
        codes.push(check.code);
        let sign = sign(seen, check.code);
        // What the documents say is put together once for each finding, and not for each of its signs.
        if !findings.gather(&sign) {
            with_texts(seen, sign, |sign| findings.add(sign, || (check.sentence)(seen)));
        }
    }
    codes
}

/// Runs those checks over a flow that is not closed yet whose proofs are there; nothing is gathered, only told.
pub(in crate::judge) fn preview(seen: &Seen<'_>, there: &[Proof], findings: &mut Findings) {
    let proved = |check: &&Check| there.contains(&check.proof) && (check.finds)(seen);
    for check in CHECKS.iter().chain(site::CHECKS).filter(proved) {
        with_texts(seen, sign(seen, check.code), |sign| findings.preview(sign, || (check.sentence)(seen)));
    }
}

/// What a flow adds to a finding, without what the documents say.
fn sign<'a>(seen: &'a Seen<'_>, code: &'static str) -> Occurrence<'a> {
    Occurrence {
        code,
        mechanism: if code.starts_with("AFS2") { seen.row.signature } else { "" },
        // Only what looks blocked is more or less sure; the other findings are plain to see.
        confidence: match code {
            "AFS412" => Some(Confidence::Weak),
            "AFS109" => Some(Confidence::Strong),
            code => seen.row.confidence.filter(|_| code.starts_with("AFS2")),
        },
        client: Some(seen.row.client.address),
        subject: subject(seen, code),
        server: Some(seen.row.server),
        flow: Some(seen.row.flow_id),
        frames: &seen.row.evidence,
        time: seen.row.first_seen,
        rules: "",
        documents: "",
    }
}

/// The same with what the documents say.
fn with_texts(seen: &Seen<'_>, sign: Occurrence<'_>, take: impl FnOnce(&Occurrence<'_>)) {
    let destination = seen.row.documented.as_deref();
    let products = destination.map_or("", |said| &said.products);
    let about = CITES.iter().find(|(citing, _)| *citing == sign.code).map(|(_, about)| *about);
    let sentences = about.and_then(|about| seen.policy.sentences(about, products));
    let more = sentences.or_else(|| match sign.code {
        "AFS107" => {
            dispute(seen).and_then(|dispute| dispute.other().references.documented.as_deref().cloned())
        }
        "AFS441" => {
            let roles = [seen.row.client, seen.row.server].map(|end| seen.policy.roles(end.address));
            seen.policy.between(roles[0], roles[1])
        }
        _ => None,
    });
    let more = match more {
        None if destination.is_none() => seen.policy.sentences(NOT_LISTED, ""),
        more => more,
    };
    let (rules, documents) = joined(destination, more.as_ref());
    take(&Occurrence { rules: &rules, documents: &documents, ..sign });
}

/// Rules and documents of both.
fn joined<'a>(
    destination: Option<&'a Documented>,
    sentences: Option<&'a Documented>,
) -> (Cow<'a, str>, Cow<'a, str>) {
    match (destination, sentences) {
        (None, None) => (Cow::Borrowed(""), Cow::Borrowed("")),
        (Some(one), None) | (None, Some(one)) => {
            (Cow::Borrowed(&one.references), Cow::Borrowed(&one.documents))
        }
        (Some(one), Some(other)) => {
            let (mut rules, mut documents) = (one.references.clone(), one.documents.clone());
            other.references.split(';').for_each(|rule| add_once(&mut rules, rule));
            other.documents.split(';').for_each(|document| add_once(&mut documents, document));
            (Cow::Owned(rules), Cow::Owned(documents))
        }
    }
}

/// What a finding is about: the destination; for an inbound connection the service that was reached.
fn subject<'a>(seen: &'a Seen<'_>, code: &str) -> Target<'a> {
    match &seen.row.name {
        _ if matches!(code, "AFS105" | "AFS441" | "AFS461") => Target::Service(seen.row.server),
        Some(name) => Target::Name(name),
        None => Target::Address(seen.row.server.address),
    }
}

fn name_of<'a>(seen: &'a Seen<'_>) -> &'a str {
    let tag = || seen.row.service_tags.as_deref().and_then(|tags| tags.split(';').next());
    match &seen.verdict.known {
        Some(known) => known.name.as_str(),
        None => tag().unwrap_or("an address without a name"),
    }
}

fn is_not_documented(seen: &Seen<'_>) -> bool {
    seen.verdict.destination == Some(DestinationVerdict::Unexpected) && seen.verdict.internal.is_none()
}

fn not_documented(seen: &Seen<'_>) -> String {
    format!("{} connected to {}, which no document in force names", seen.row.client.address, name_of(seen))
}

fn is_too_broad(seen: &Seen<'_>) -> bool {
    seen.verdict.destination == Some(DestinationVerdict::DocumentedBroad)
}

fn too_broad(seen: &Seen<'_>) -> String {
    format!("{} is documented only by a wildcard that its document calls too broad", name_of(seen))
}

fn is_not_on_443(seen: &Seen<'_>) -> bool {
    let documented = matches!(
        seen.verdict.destination,
        Some(DestinationVerdict::Documented | DestinationVerdict::DocumentedBroad)
    );
    documented && seen.verdict.port == Some(PortVerdict::Not443) && !is_cleartext(seen)
}

fn not_on_443(seen: &Seen<'_>) -> String {
    let protocol = proto::name(seen.row.protocol).unwrap_or_default();
    let (client, name, port) = (seen.row.client.address, name_of(seen), seen.verdict.asked_port);
    format!("{client} used {name} on {protocol} port {port}; its rows do not give that port")
}

fn is_cleartext(seen: &Seen<'_>) -> bool {
    seen.verdict.https_only && seen.row.app == "http" && seen.case.claimed(NameSource::HttpHost).is_some()
}

fn cleartext(seen: &Seen<'_>) -> String {
    let (client, name) = (seen.row.client.address, name_of(seen));
    format!("{client} sent unencrypted HTTP to {name}, which is documented for HTTPS only")
}

fn is_inbound(seen: &Seen<'_>) -> bool {
    let (client, server) = (seen.row.client.address, seen.row.server.address);
    if client.is_private() || client.is_group() || !seen.case.flow_start.from_start {
        return false;
    }
    let audited = if seen.scope.is_open() { server.is_private() } else { seen.scope.audits(server) };
    let connected = seen
        .flow_end
        .tcp
        .as_ref()
        .is_some_and(|tcp| matches!(tcp.handshake, Handshake::Complete | Handshake::HalfOpen));
    audited && connected
}

fn inbound(seen: &Seen<'_>) -> String {
    let (client, server) = (seen.row.client.address, seen.row.server);
    format!(
        "{client} outside connected to {} port {}; no document has an inbound connection",
        server.address, server.port
    )
}

fn is_nameless(seen: &Seen<'_>) -> bool {
    // DNS and NTP go to addresses by configuration, and have no name of their own.
    seen.verdict.destination == Some(DestinationVerdict::Unidentified)
        && !matches!(seen.row.app, "dns" | "ntp")
        && seen.flow_end.tcp.as_ref().is_some_and(|tcp| tcp.handshake != Handshake::Unseen)
}

fn nameless(seen: &Seen<'_>) -> String {
    let (client, server) = (seen.row.client.address, seen.row.server);
    format!(
        "{client} connected to {} port {}, and nothing in the capture names it",
        server.address, server.port
    )
}

/// How the sources of a flow's name disagree.
enum Dispute<'a> {
    /// The proxy was asked for one name, and TLS names another.
    Asked { asked: &'a KnownName, named: &'a NameClaim },
    /// DNS gave the address under another name.
    ClientAnswer { named: &'a NameClaim, contradiction: &'a Contradiction },
}

impl Dispute<'_> {
    /// The name that is not the flow's.
    fn other(&self) -> &KnownName {
        match self {
            Dispute::Asked { asked, .. } => asked,
            Dispute::ClientAnswer { contradiction, .. } => &contradiction.other,
        }
    }
}

fn dispute<'a>(seen: &'a Seen<'_>) -> Option<Dispute<'a>> {
    seen.verdict.destination?;
    let said = seen.case.facts.as_ref()?;
    if let (Some(connect), Some(sni)) =
        (seen.case.claimed(NameSource::Connect), seen.case.claimed(NameSource::Sni))
        && !Arc::ptr_eq(&connect.known, &sni.known)
        && !connect.known.is_address
    {
        return Some(Dispute::Asked { asked: &connect.known, named: sni });
    }
    if seen.case.is_proxied() {
        // What DNS said is the proxy's own name.
        return None;
    }
    let named = seen.case.strongest()?;
    said.contradicts.as_ref().map(|contradiction| Dispute::ClientAnswer { named, contradiction })
}

fn is_contradicted(seen: &Seen<'_>) -> bool {
    dispute(seen).is_some()
}

fn contradiction(seen: &Seen<'_>) -> String {
    let client = seen.row.client.address;
    match dispute(seen) {
        Some(Dispute::Asked { asked, named }) => {
            format!("{client} asked its proxy for {} and then named {} in TLS", asked.name, named.known.name)
        }
        Some(Dispute::ClientAnswer { named, contradiction: Contradiction { other, is_unanswered } }) => {
            let unanswered = if *is_unanswered {
                "; no answer for the first is in the capture: one before it may have given the same address"
            } else {
                ""
            };
            format!(
                "the flow names {} ({}), while DNS gave {} to this client as {}{unanswered}",
                named.known.name,
                named.source.as_str(),
                seen.row.server.address,
                other.name
            )
        }
        None => String::new(),
    }
}

fn is_not_tls_on_443(seen: &Seen<'_>) -> bool {
    let row = seen.row;
    // What is not recognised may be the middle of a TLS conversation.
    let app = seen.case.app;
    let told = !app.is_empty() && !matches!(app, "tls" | "quic" | "dtls");
    row.server.port == port::HTTPS && row.protocol == proto::TCP && told && row.destination_verdict.is_some()
}

fn not_tls_on_443(seen: &Seen<'_>) -> String {
    let row = seen.row;
    format!("{} spoke {} instead of TLS to {} port 443", row.client.address, row.app, wanted(row))
}

fn is_inspected(seen: &Seen<'_>) -> bool {
    seen.verdict.unknown_issuer
}

fn inspected(seen: &Seen<'_>) -> String {
    let issuer =
        seen.case.facts.as_ref().and_then(|said| said.certificate_issuer()).map_or("", |issuer| issuer);
    format!("{} showed a certificate by {issuer}, whom no list of issuers names", wanted(seen.row))
}

/// A judged flow that looks blocked, by one of these signatures.
fn looks(seen: &Seen<'_>, signature: fn(&str) -> bool) -> bool {
    let row = seen.row;
    row.outcome == Outcome::BlockedLooking && row.destination_verdict.is_some() && signature(row.signature)
}

fn is_refused(seen: &Seen<'_>) -> bool {
    looks(seen, |signature| !told_apart(signature))
}

/// Signatures that have a finding of their own.
fn told_apart(signature: &str) -> bool {
    [is_silence, is_reset, is_word, is_forged, is_black_hole].iter().any(|kind| kind(signature))
}

fn is_forged(signature: &str) -> bool {
    signature == "reset-injected"
}

fn is_black_hole(signature: &str) -> bool {
    signature == "pmtu-black-hole"
}

fn is_plain_answer(signature: &str) -> bool {
    signature == "http-on-443"
}

fn is_page(signature: &str) -> bool {
    signature == "block-page"
}

fn is_reset(signature: &str) -> bool {
    signature.starts_with("reset-after-")
}

fn is_disbelief(signature: &str) -> bool {
    signature == "tls-client-gave-up-on-certificate"
}

fn is_alert(signature: &str) -> bool {
    signature.starts_with("tls-") && !is_disbelief(signature) && !is_own_alert(signature)
}

fn is_own_alert(signature: &str) -> bool {
    signature.starts_with("tls-client-refused-")
}

fn is_proxy(signature: &str) -> bool {
    signature == "proxy-refused"
}

fn is_sign_in(signature: &str) -> bool {
    signature == "proxy-auth-required"
}

fn is_portal(signature: &str) -> bool {
    signature == "captive-portal"
}

/// A sentence about a flow that was stopped: who wanted where, and how it ended.
fn stopped(seen: &Seen<'_>, how: &str) -> String {
    let row = seen.row;
    format!(
        "{} could not use {} port {}: {how} ({})",
        row.client.address,
        wanted(row),
        row.server.port,
        row.signature
    )
}

fn forged(seen: &Seen<'_>) -> String {
    let sides = seen.flow_end.tcp.as_ref().map(|tcp| &tcp.sides);
    let reset_evidence = sides.into_iter().flatten().flat_map(|side| side.reset_evidence.words());
    stopped(
        seen,
        &format!(
            "resets came that the other side did not send: {}",
            reset_evidence.collect::<Vec<_>>().join(", ")
        ),
    )
}

fn swallowed(seen: &Seen<'_>) -> String {
    stopped(seen, "full-size segments never arrived, smaller ones did")
}

fn plain_answer(seen: &Seen<'_>) -> String {
    stopped(seen, "the ClientHello was answered in plain HTTP")
}

fn paged(seen: &Seen<'_>) -> String {
    let http = seen.case.facts.as_ref().and_then(|said| said.http.as_deref());
    let by = http.and_then(|http| named_box(http, seen.policy));
    match (by, http.and_then(|http| http.at(PageField::Location))) {
        (Some(by), _) => stopped(seen, &format!("a page of {by} came in place of the answer")),
        (None, Some(to)) => stopped(seen, &format!("it was sent to {to}")),
        (None, None) => stopped(seen, "a page came in place of the answer"),
    }
}

/// TLS 1.2, as versions are numbered on the wire; DTLS counts down.
const TLS12: u16 = 0x0303;

fn chose_old_tls(seen: &Seen<'_>) -> bool {
    let chosen = seen.case.facts.as_ref().and_then(|said| said.tls_version);
    seen.verdict.documented.is_some() && chosen.is_some_and(|chosen| chosen < TLS12)
}

fn old_choice(seen: &Seen<'_>) -> String {
    let version = seen.case.facts.as_ref().and_then(|said| said.tls_version).map_or(0, |version| version);
    format!(
        "{} chose a TLS older than 1.2 (0x{version:04x}), which the services gave up: another may answer in their place",
        wanted(seen.row)
    )
}

fn offers_old_tls(seen: &Seen<'_>) -> bool {
    let offered = seen.case.facts.as_ref().and_then(|said| said.tls_offered);
    seen.verdict.documented.is_some() && offered.is_some_and(|offered| offered < TLS12)
}

fn old_tls(seen: &Seen<'_>) -> String {
    let (client, name) = (seen.row.client.address, name_of(seen));
    format!("{client} offers {name} no TLS newer than 1.1; the services take 1.2 and newer")
}

fn lacks_suites(seen: &Seen<'_>) -> bool {
    let said = seen.case.facts.as_ref();
    said.is_some_and(|said| said.tls_offered == Some(TLS12)) && unmatched_cipher_list(seen).is_some()
}

/// The list of cipher suites that the destination accepts and of which the client offered none.
fn unmatched_cipher_list<'a>(seen: &'a Seen<'_>) -> Option<&'a CipherList> {
    let products = seen.verdict.documented.as_ref().map_or("", |said| &said.products);
    let unmatched = seen.case.facts.as_ref()?.unmatched_cipher_lists;
    let holds = |list: &CipherList| {
        products.split(';').any(|product| list.document.products.iter().any(|own| **own == *product))
    };
    let lists = seen.policy.cipher_lists.iter().enumerate();
    lists.filter(|(bit, _)| unmatched & (1 << bit) != 0).map(|(_, list)| list).find(|list| holds(list))
}

fn no_suite(seen: &Seen<'_>) -> String {
    let (client, name) = (seen.row.client.address, name_of(seen));
    let list = unmatched_cipher_list(seen).map_or("the documents", |list| &list.document.id);
    format!("{client} offers {name} TLS 1.2 with none of the cipher suites that {list} lists")
}

fn cut_off(seen: &Seen<'_>) -> String {
    let how = match seen.row.signature {
        "reset-after-handshake" => "it was reset as soon as it was connected",
        "reset-after-data" => "it was reset in the middle of what it said",
        _ => "it was reset when it had said what it wants",
    };
    stopped(seen, how)
}

fn alerted(seen: &Seen<'_>) -> String {
    stopped(seen, "the other side ended the TLS handshake with an alert")
}

fn alerted_itself(seen: &Seen<'_>) -> String {
    stopped(seen, "it ended the TLS handshake itself with an alert, in answer to what the other side chose")
}

fn disbelieved(seen: &Seen<'_>) -> String {
    stopped(seen, "it did not take the certificate and ended the handshake")
}

fn proxy_refused(seen: &Seen<'_>) -> String {
    stopped(seen, "the proxy refused")
}

fn proxy_wants(seen: &Seen<'_>) -> String {
    stopped(seen, "the proxy's last answer was that it wants credentials")
}

fn portal(seen: &Seen<'_>) -> String {
    stopped(seen, "a portal wants somebody to sign in")
}

fn refused(seen: &Seen<'_>) -> String {
    let by = match &seen.flow_end.icmp {
        Some(error) => {
            format!("an ICMP error from {} (type {}, code {})", error.from, error.kind, error.code)
        }
        None => "a reset".to_owned(),
    };
    format!(
        "{} could not use {} port {}: {by}",
        seen.row.client.address,
        wanted(seen.row),
        seen.row.server.port
    )
}

fn is_unanswered(seen: &Seen<'_>) -> bool {
    looks(seen, is_silence)
}

fn unanswered(seen: &Seen<'_>) -> String {
    let row = seen.row;
    let (client, wanted, port) = (row.client.address, wanted(row), row.server.port);
    let own = seen.flow_end.tcp.as_ref().and_then(|tcp| tcp.sides.first());
    if row.signature != "tcp-unanswered" {
        let again = own.map_or(0, |side| side.retransmissions);
        let what = match row.signature {
            "silent-after-data" => "was answered; then nothing came back any more",
            _ => "asked; no answer came back",
        };
        return format!(
            "{client} reached {wanted} port {port} and {what}, though it repeated itself {again} times"
        );
    }
    let tries = own.map_or(0, |side| side.syns);
    format!("{client} tried {wanted} port {port} with {tries} SYN and nothing came back")
}

fn wanted(row: &FlowRow) -> String {
    match &row.name {
        Some(name) => format!("{name} ({})", row.server.address),
        None => row.server.address.to_string(),
    }
}
