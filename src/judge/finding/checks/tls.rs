//! Checks of TLS versions, cipher suites and certificates against the documents.

use super::Check;
use super::FlowView;
use super::When;
use super::no_rows;
use crate::judge::catalogue::FindingCode;
use crate::judge::policy::CipherList;

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: FindingCode::UnknownIssuer,
        when: When::UnknownIssuer,
        applies: |view| view.verdict.unknown_issuer,
        message: unknown_issuer,
        cites: no_rows,
    },
    Check {
        code: FindingCode::ClientTlsTooOld,
        when: When::WeakTls,
        applies: |view| view.verdict.documented.is_some() && is_too_old(offered_version(view)),
        message: client_too_old,
        cites: no_rows,
    },
    Check {
        code: FindingCode::NoAcceptedCipherSuite,
        when: When::WeakTls,
        applies: |view| offered_version(view) == Some(TLS_1_2) && unmatched_cipher_list(view).is_some(),
        message: no_accepted_cipher_suite,
        cites: no_rows,
    },
    Check {
        code: FindingCode::ServerTlsTooOld,
        when: When::WeakTls,
        applies: |view| view.verdict.documented.is_some() && is_too_old(chosen_version(view)),
        message: server_too_old,
        cites: no_rows,
    },
];

/// As versions are numbered on the wire (RFC 8446 §4.1.2); those of DTLS count down and are larger.
const TLS_1_2: u16 = 0x0303;

/// Whether a flow lacks something that the documents require of TLS.
#[inline]
pub(super) fn is_weak(view: &FlowView<'_>) -> bool {
    view.facts().is_some_and(|facts| {
        is_too_old(facts.tls_offered) || is_too_old(facts.tls_version) || facts.unmatched_cipher_lists != 0
    })
}

fn unknown_issuer(view: &FlowView<'_>) -> String {
    let issuer = view.facts().and_then(|facts| facts.certificate_issuer()).map_or("", |issuer| issuer);
    format!(
        "{} presented a certificate issued by {issuer}, which is not on the list of known issuers",
        view.server_text()
    )
}

fn offered_version(view: &FlowView<'_>) -> Option<u16> {
    view.facts()?.tls_offered
}

fn chosen_version(view: &FlowView<'_>) -> Option<u16> {
    view.facts()?.tls_version
}

fn is_too_old(version: Option<u16>) -> bool {
    version.is_some_and(|version| version < TLS_1_2)
}

fn client_too_old(view: &FlowView<'_>) -> String {
    format!(
        "{} offers {} no TLS version newer than 1.1; the services require 1.2 or newer",
        view.client(),
        view.name_text()
    )
}

fn server_too_old(view: &FlowView<'_>) -> String {
    format!(
        "{} chose a TLS version older than 1.2 (0x{:04x}), which the services no longer use: another device may answer instead \
         of them",
        view.server_text(),
        chosen_version(view).unwrap_or_default()
    )
}

/// The list of cipher suites that the destination accepts and of which the client offered none.
fn unmatched_cipher_list<'a>(view: &FlowView<'a>) -> Option<&'a CipherList> {
    let unmatched = view.facts()?.unmatched_cipher_lists;
    let products = &view.verdict.documented?.products;
    let applies = |list: &CipherList| {
        products.split(';').any(|product| list.document.products.iter().any(|own| **own == *product))
    };
    let lists = view.policy.cipher_lists.iter().enumerate();
    lists.filter(|(bit, _)| unmatched & (1 << bit) != 0).map(|(_, list)| list).find(|list| applies(list))
}

fn no_accepted_cipher_suite(view: &FlowView<'_>) -> String {
    let document = unmatched_cipher_list(view).map_or("the documents", |list| &list.document.id);
    format!(
        "{} offers {} TLS 1.2 without any of the cipher suites that {document} lists",
        view.client(),
        view.name_text()
    )
}
