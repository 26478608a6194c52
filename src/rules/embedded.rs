//! The rule files inside the program. A new document is a file and a line here.

macro_rules! rule_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../rules/", $name)))),*]
    };
}

/// Name and contents of every rule file.
pub(super) const FILES: &[(&str, &str)] = rule_files![
    "azure-arc@2026-02-17-gateway.toml",
    "azure-arc@2026-04-01.toml",
    "azure-arc@2026-06-11-kubernetes.toml",
    "azure-arc@2026-08-10-resource-bridge.toml",
    "azure-certificates@2023-11-27.toml",
    "azure-certificates@2025-11-17.toml",
    "azure-certificates@2025-12-02.toml",
    "azure-file-sync@2019-06-24.toml",
    "azure-file-sync@2024-05-13.toml",
    "azure-file-sync@2024-09-09-dns.toml",
    "azure-file-sync@2024-11-06-networking.toml",
    "azure-file-sync@2025-01-23-sync-groups.toml",
    "azure-file-sync@2025-07-14-installation.toml",
    "azure-file-sync@2025-08-25-sync-errors.toml",
    "azure-file-sync@2026-07-24-endpoints.toml",
    "azure-file-sync@undated-hybrid.toml",
    "azure-stack-hci@2021-12-14.toml",
    "azure-stack-hci@2022-04-27-recommended-later.toml",
    "azure-stack-hci@2022-04-27-recommended.toml",
    "azure-stack-hci@2022-04-27-required.toml",
    "azure-stack-hci@2022-04-28.toml",
    "azure-stack-hci@2024-06-25-required.toml",
    "azure-stack-hci@2025-01-08.toml",
    "azure-stack-hci@2025-03-05-crl.toml",
    "azure-stack-hci@2025-03-19-dataon.toml",
    "azure-stack-hci@2025-05-06-hitachi.toml",
    "azure-stack-hci@2025-05-06-lenovo.toml",
    "azure-stack-hci@2025-07-17-aks.toml",
    "azure-stack-hci@2025-09-09-arc-gateway.toml",
    "azure-stack-hci@2025-10-22-dell.toml",
    "azure-stack-hci@2026-01-31-mocstack.toml",
    "azure-stack-hci@2026-03-09-private-endpoints.toml",
    "azure-stack-hci@2026-06-25-hpe.toml",
    "azure-stack-hci@2026-07-14-australiaeast.toml",
    "azure-stack-hci@2026-07-14-canadacentral.toml",
    "azure-stack-hci@2026-07-14-eastus.toml",
    "azure-stack-hci@2026-07-14-indiacentral.toml",
    "azure-stack-hci@2026-07-14-japaneast.toml",
    "azure-stack-hci@2026-07-14-southcentralus.toml",
    "azure-stack-hci@2026-07-14-southeastasia.toml",
    "azure-stack-hci@2026-07-14-usgovvirginia.toml",
    "azure-stack-hci@2026-07-14-westeurope.toml",
    "windows-server@2023-10-06-endpoints.toml",
    "windows-server@2024-10-08-defender-antivirus.toml",
    "windows-server@2025-07-25-activation.toml",
    "windows-server@2025-10-16-defender.toml",
];
