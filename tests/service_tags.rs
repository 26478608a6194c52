//! Reads Microsoft's real files of service tags, where they are at hand beside the project.
//!
//! They are looked for in `../shared/service-tags`; without them the tests are reported as not run, and fail where `CI` is set.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;

use afs_audit::base::Address;
use afs_audit::rules::Cloud;
use afs_audit::rules::Tags;

mod support;

fn file(name: &str) -> Option<PathBuf> {
    Some(support::prerequisites::shared_folder("service-tags")?.join(name))
}

fn check(name: &str, cloud: Cloud, date: &str, change_number: u64, tags: usize, sync: usize, sha256: &str) {
    let Some(path) = file(name) else { return };
    let read = Tags::load(&path).unwrap();
    assert_eq!((read.cloud(), &*read.date, read.change_number), (Some(cloud), date, change_number));
    assert_eq!(read.iter().count(), tags);
    let id = read.find("storagesyncservice").unwrap();
    assert_eq!(read.tag(id).unwrap().prefixes, sync);
    assert_eq!(&*read.sha256, sha256);
}

#[test]
fn the_public_file() {
    let sha256 = "9cb4e5f9371cec1297b05a6f5d742768921a28bd854a3a9cbd80673a6399dc40";
    check("ServiceTags_Public_20251028.json", Cloud::Public, "2025-10-28", 375, 3039, 227, sha256);
}

#[test]
fn the_government_file() {
    let sha256 = "526a500736740f22077bf7846b46243f6e0d823353042461e6e90212c5e6849e";
    let name = "ServiceTags_AzureGovernment_20260720.json";
    check(name, Cloud::UsGovernment, "2026-07-20", 402, 299, 16, sha256);
}

#[test]
fn the_china_file() {
    let sha256 = "bd83fd5acb17c1ed9c0bf1ad47b291787fccd06436fd6509169a6a0a506ca94a";
    check("ServiceTags_China_20260720.json", Cloud::China, "2026-07-20", 405, 327, 16, sha256);
}

/// The file as plain JSON: tag names with their prefixes.
fn plain(path: &Path) -> Vec<(String, Vec<ipnet::IpNet>)> {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let tag = |value: &serde_json::Value| {
        let prefixes = value["properties"]["addressPrefixes"].as_array().unwrap();
        let nets = prefixes.iter().map(|text| text.as_str().unwrap().parse().unwrap()).collect();
        (value["name"].as_str().unwrap().to_owned(), nets)
    };
    json["values"].as_array().unwrap().iter().map(tag).collect()
}

#[test]
fn every_address_has_exactly_the_tags_that_a_walk_finds() {
    let Some(path) = file("ServiceTags_Public_20251028.json") else { return };
    let tags = Tags::load(&path).unwrap();
    let plain = plain(&path);
    // The first address, the last one and their neighbours, of prefixes from all over the file.
    let mut addresses: Vec<IpAddr> = Vec::new();
    for net in plain.iter().flat_map(|(_, nets)| nets).step_by(997) {
        addresses.extend([net.network(), net.broadcast()]);
        addresses.extend(match net.broadcast() {
            IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|ip| IpAddr::from(ip.to_be_bytes())),
            IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|ip| IpAddr::from(ip.to_be_bytes())),
        });
    }
    assert!(addresses.len() > 250);
    for ip in addresses {
        let longest = |nets: &[ipnet::IpNet]| {
            nets.iter().filter(|net| net.contains(&ip)).map(|net| net.prefix_len()).max()
        };
        let mut expected: Vec<(&str, u8)> =
            plain.iter().filter_map(|(name, nets)| Some((name.as_str(), longest(nets)?))).collect();
        let found: Vec<&str> =
            tags.lookup(Address::from(ip)).iter().map(|id| &*tags.tag(*id).unwrap().name).collect();
        let lens: Vec<u8> = found
            .iter()
            .map(|name| {
                expected.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("{ip}: {name}")).1
            })
            .collect();
        assert!(lens.is_sorted_by(|a, b| a >= b), "{ip}: {found:?} {lens:?}");
        let mut sorted = found;
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{ip}");
    }
}

#[test]
fn the_sync_service_comes_before_its_regions_and_before_the_cloud() {
    let Some(path) = file("ServiceTags_Public_20251028.json") else { return };
    let tags = Tags::load(&path).unwrap();
    let sync: Vec<ipnet::IpNet> =
        plain(&path).into_iter().find(|(name, _)| name == "StorageSyncService").unwrap().1;
    let mut only_global = 0;
    for net in sync {
        let names: Vec<&str> = tags
            .lookup(Address::from(net.network()))
            .iter()
            .map(|id| &*tags.tag(*id).unwrap().name)
            .collect();
        assert_eq!(names[0], "StorageSyncService", "{net}: {names:?}");
        only_global += usize::from(!names.iter().any(|name| name.starts_with("StorageSyncService.")));
    }
    // The tag of the whole service is more than its regional ones together.
    assert_eq!(only_global, 30);
}
