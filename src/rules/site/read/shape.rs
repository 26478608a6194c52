//! The TOML structure of a site file.
//!
//! In:  the text, through serde.
//! Out: its values, each with its position in the text.
//! Not: whether they are valid; that is for the parent module.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::rules::cloud::Cloud;
use crate::rules::requirement::Redundancy;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct SiteShape {
    pub(super) site: HeadShape,
    pub(super) azure_file_sync: SyncShape,
    pub(super) azure_stack_hci: LocalShape,
    pub(super) private_endpoints: PrivateShape,
    pub(super) roles: RolesShape,
    pub(super) proxy: ProxyShape,
    pub(super) dns: DnsShape,
    pub(super) service_tags: TagsShape,
    pub(super) rules: RulesShape,
    pub(super) allow: Vec<Spanned<AllowShape>>,
}

pub(super) type Words = Vec<Spanned<String>>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HeadShape {
    pub(super) name: Option<String>,
    pub(super) cloud: Option<Cloud>,
    pub(super) products: Option<Spanned<Words>>,
    pub(super) networks: Words,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct SyncShape {
    pub(super) region: Option<Spanned<String>>,
    pub(super) redundancy: Option<Redundancy>,
    pub(super) storage_accounts: Words,
    pub(super) sync_services: Words,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct LocalShape {
    pub(super) region: Option<Spanned<String>>,
    pub(super) hardware: Option<Spanned<String>>,
    pub(super) version: Option<Spanned<String>>,
    pub(super) key_vaults: Words,
    pub(super) arc_gateways: Words,
    pub(super) witness_storage_accounts: Words,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PrivateShape {
    pub(super) networks: Words,
}

/// The words of `ROLES` as fields, so that a misspelt one is an error.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct RolesShape {
    pub(super) servers: Words,
    pub(super) management_system: Words,
    pub(super) cluster_servers: Words,
    pub(super) hyper_v_servers: Words,
    pub(super) windows_admin_center: Words,
    pub(super) stretched_cluster: Words,
    pub(super) active_directory: Words,
    pub(super) time_servers: Words,
    pub(super) resource_bridge: Words,
    pub(super) aks_clusters: Words,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProxyShape {
    pub(super) addresses: Words,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DnsShape {
    pub(super) resolvers: Words,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TagsShape {
    pub(super) file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RulesShape {
    pub(super) documents: Option<Spanned<Words>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowShape {
    pub(super) name: Option<Spanned<String>>,
    pub(super) network: Option<Spanned<String>>,
    pub(super) port: Option<Spanned<PortShape>>,
    pub(super) reason: Option<Spanned<String>>,
    pub(super) expires: Option<Spanned<Datetime>>,
}

/// `443`, `"80, 443"` or `"123/udp"`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "not a port, such as 443, \"80, 443\" or \"123/udp\"")]
pub(super) enum PortShape {
    Number(u16),
    Text(String),
}
