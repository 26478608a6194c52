//! Subjects of statements.
//!
//! In:  nothing: this is a list.
//! Out: each subject with its word in the rule files.
//! Not: the statements; these are rows of the documents.

/// Subjects of the statements that findings cite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::judge) enum StatementSubject {
    Allowlist,
    Broad,
    Encryption,
    HostsFile,
    Inspection,
    NoSmb,
    OutboundOnly,
    Port,
    PrivateLink,
    Proxy,
    PublicResolution,
    Routing,
    SameRegion,
    Tunnel,
}

impl StatementSubject {
    pub(in crate::judge) const ALL: &[StatementSubject] = &[
        StatementSubject::Allowlist,
        StatementSubject::Broad,
        StatementSubject::Encryption,
        StatementSubject::HostsFile,
        StatementSubject::Inspection,
        StatementSubject::NoSmb,
        StatementSubject::OutboundOnly,
        StatementSubject::Port,
        StatementSubject::PrivateLink,
        StatementSubject::Proxy,
        StatementSubject::PublicResolution,
        StatementSubject::Routing,
        StatementSubject::SameRegion,
        StatementSubject::Tunnel,
    ];

    /// As the rule files write it.
    pub(in crate::judge) const fn as_str(self) -> &'static str {
        match self {
            StatementSubject::Allowlist => "allowlist",
            StatementSubject::Broad => "broad",
            StatementSubject::Encryption => "encryption",
            StatementSubject::HostsFile => "hosts-file",
            StatementSubject::Inspection => "inspection",
            StatementSubject::NoSmb => "no-smb",
            StatementSubject::OutboundOnly => "outbound-only",
            StatementSubject::Port => "port",
            StatementSubject::PrivateLink => "private-link",
            StatementSubject::Proxy => "proxy",
            StatementSubject::PublicResolution => "public-resolution",
            StatementSubject::Routing => "routing",
            StatementSubject::SameRegion => "same-region",
            StatementSubject::Tunnel => "tunnel",
        }
    }
}
