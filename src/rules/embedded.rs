//! The rule files inside the program. A new document is a file and a line here.

macro_rules! rule_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../rules/", $name)))),*]
    };
}

/// Name and contents of every rule file.
pub(super) const FILES: &[(&str, &str)] = rule_files![
    "azure-arc@2026-04-01.toml",
    "azure-certificates@2023-11-27.toml",
    "azure-certificates@2025-12-02.toml",
    "azure-file-sync@2019-06-24.toml",
    "azure-file-sync@2024-05-13.toml",
    "azure-file-sync@2024-11-06-networking.toml",
    "azure-file-sync@2025-01-23-sync-groups.toml",
    "azure-file-sync@undated-hybrid.toml",
    "azure-stack-hci@2021-12-14.toml",
    "azure-stack-hci@2022-04-27-recommended-later.toml",
    "azure-stack-hci@2022-04-27-recommended.toml",
    "azure-stack-hci@2022-04-27-required.toml",
    "azure-stack-hci@2022-04-28.toml",
    "azure-stack-hci@2024-06-25-required.toml",
    "azure-stack-hci@2025-01-08.toml",
    "azure-stack-hci@2026-07-14-australiaeast.toml",
    "azure-stack-hci@2026-07-14-canadacentral.toml",
    "azure-stack-hci@2026-07-14-eastus.toml",
    "azure-stack-hci@2026-07-14-indiacentral.toml",
    "azure-stack-hci@2026-07-14-japaneast.toml",
    "azure-stack-hci@2026-07-14-southcentralus.toml",
    "azure-stack-hci@2026-07-14-southeastasia.toml",
    "azure-stack-hci@2026-07-14-usgovvirginia.toml",
    "azure-stack-hci@2026-07-14-westeurope.toml",
];
