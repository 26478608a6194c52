//! Microsoft's weekly service tag file, which maps addresses to services.
//!
//! In:  a file such as `ServiceTags_Public_20251028.json`.
//! Out: every tag that contains an address, most specific first.
//! Not: whether a tag proves anything about a name; all customers share the ranges of most tags.
//!
//! Prefixes nest, so the address space consists of segments with the same tags. IPv4 and IPv6 each have a sorted table of
//! segments; the IPv4 table has an index by the upper sixteen bits, so that a lookup compares a few numbers and copies
//! nothing.

use std::collections::HashMap;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;
use sha2::Digest;
use sha2::Sha256;

use crate::base::Address;

use super::cloud::Cloud;
use super::file::RuleFileError;
use super::file::in_plain_words;
use super::file::line_of;
use super::parse::hex;

/// A service tag of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId(pub u32);

/// One service tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Name as written: `StorageSyncService.WestUS2`.
    pub name: Box<str>,
    /// Region in the tag's properties; empty for a tag without a region. It can differ from the suffix of the name.
    pub region: Box<str>,
    /// System service; empty if the file has none.
    pub system_service: Box<str>,
    /// Number of its prefixes.
    pub prefixes: usize,
}

impl Tag {
    /// The name without its region suffix.
    pub fn family(&self) -> &str {
        if self.region.is_empty() {
            return &self.name;
        }
        self.name.rsplit_once('.').map_or(&self.name, |(family, _)| family)
    }
}

/// One service tag file.
#[derive(Debug)]
pub struct Tags {
    /// Name of the file.
    pub file: Box<str>,
    /// Date in the file's name, as `2025-10-28`; empty if there is none.
    pub date: Box<str>,
    /// The file's change number.
    pub change_number: u64,
    /// The file's cloud, as written.
    pub cloud_word: Box<str>,
    /// SHA-256 of the file's bytes, in hexadecimal.
    pub sha256: Box<str>,
    tags: Vec<Tag>,
    by_name: HashMap<String, TagId>,
    lists: Vec<TagId>,
    v4: Segments<u32>,
    v4_index: Vec<u32>,
    v6: Segments<u128>,
}

/// The first address of each segment, and the slice of `lists` that applies to it.
#[derive(Debug)]
struct Segments<T> {
    starts: Vec<T>,
    lists: Vec<(u32, u16)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagFileShape {
    change_number: u64,
    cloud: String,
    values: Vec<TagEntryShape>,
}

#[derive(Deserialize)]
struct TagEntryShape {
    name: String,
    properties: PropertiesShape,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PropertiesShape {
    #[serde(default)]
    region: String,
    #[serde(default)]
    system_service: String,
    address_prefixes: Vec<String>,
}

/// The largest real file has fewer than 100,000 prefixes.
const PREFIX_LIMIT: usize = 4_000_000;

impl Tags {
    /// Reads a service tag file.
    pub fn load(path: &Path) -> Result<Tags, RuleFileError> {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let bytes = std::fs::read(path).map_err(|error| RuleFileError {
            what: "service tags",
            file: path.display().to_string(),
            line: 0,
            message: error.to_string(),
        })?;
        Tags::parse(&file, &bytes)
    }

    /// Parses the bytes of the file called `file`.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Tags, RuleFileError> {
        let problem =
            |line, message| RuleFileError { what: "service tags", file: file.to_owned(), line, message };
        let shape: TagFileShape =
            serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
                .map_err(|error| problem(error.line(), plain(&error)))?;
        if shape.values.is_empty() {
            return Err(problem(0, "no service tag in the file".to_owned()));
        }
        // The JSON parser keeps no positions, so the line is found by searching for the value.
        let line = |word: &str| {
            let text = String::from_utf8_lossy(bytes);
            text.find(&format!("\"{word}\"")).map_or(0, |at| line_of(&text, at))
        };
        let mut tags = Vec::with_capacity(shape.values.len());
        let mut by_name = HashMap::new();
        let mut prefixes = Vec::new();
        for (id, value) in (0..).map(TagId).zip(&shape.values) {
            if by_name.insert(value.name.to_ascii_lowercase(), id).is_some() {
                return Err(problem(line(&value.name), format!("duplicate tag `{}`", value.name)));
            }
            for text in &value.properties.address_prefixes {
                let Ok(net) = text.parse::<IpNet>() else {
                    return Err(problem(line(text), format!("not a network: `{text}`")));
                };
                prefixes.push((net.trunc(), id));
            }
            tags.push(Tag {
                name: value.name.as_str().into(),
                region: value.properties.region.as_str().into(),
                system_service: value.properties.system_service.as_str().into(),
                prefixes: value.properties.address_prefixes.len(),
            });
        }
        if prefixes.len() > PREFIX_LIMIT {
            return Err(problem(0, format!("{} prefixes, the limit is {PREFIX_LIMIT}", prefixes.len())));
        }
        let mut lists = TagLists::default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (net, tag) in prefixes {
            let len = net.prefix_len();
            match net {
                IpNet::V4(net) => {
                    v4.push(Prefix {
                        start: u32::from(net.addr()),
                        end: u32::from(net.broadcast()),
                        len,
                        tag,
                    });
                }
                IpNet::V6(net) => {
                    v6.push(Prefix {
                        start: u128::from(net.addr()),
                        end: u128::from(net.broadcast()),
                        len,
                        tag,
                    });
                }
            }
        }
        let v4 =
            segments(v4, &tags, &mut lists, |n| n.checked_add(1), |start, end| f64::from(end - start) + 1.0);
        let v6 =
            segments(v6, &tags, &mut lists, |n| n.checked_add(1), |start, end| (end - start) as f64 + 1.0);
        Ok(Tags {
            file: file.into(),
            date: date_in(file).unwrap_or_default().into(),
            change_number: shape.change_number,
            cloud_word: shape.cloud.into(),
            sha256: hex(&Sha256::digest(bytes)).into(),
            tags,
            by_name,
            lists: lists.ids,
            v4_index: upper_index(&v4.starts),
            v4,
            v6,
        })
    }

    /// Every tag that contains `address`, most specific first: the longest prefix; of equal lengths the smaller service;
    /// of one service the tag without a region before those with a region.
    #[inline]
    pub fn lookup(&self, address: Address) -> &[TagId] {
        let list = if address.is_v4() {
            let ip = address.0 as u32;
            let upper = (ip >> 16) as usize;
            let from = self.v4_index.get(upper).copied().unwrap_or_default() as usize;
            let to = self.v4_index.get(upper + 1).copied().unwrap_or_default() as usize;
            let inside = self.v4.starts.get(from..to).unwrap_or_default();
            // A segment that begins before these sixteen bits may extend into them.
            let at = from + inside.partition_point(|start| *start <= ip);
            at.checked_sub(1).and_then(|at| self.v4.lists.get(at))
        } else {
            let at = self.v6.starts.partition_point(|start| *start <= address.0);
            at.checked_sub(1).and_then(|at| self.v6.lists.get(at))
        };
        let Some((from, len)) = list else { return &[] };
        self.lists.get(*from as usize..*from as usize + usize::from(*len)).unwrap_or_default()
    }

    /// The tag with an id from [`Tags::lookup`].
    pub fn tag(&self, id: TagId) -> Option<&Tag> {
        self.tags.get(id.0 as usize)
    }

    /// The tag with this name, ignoring case, because files and documents differ in it.
    pub fn find(&self, name: &str) -> Option<TagId> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// All tags, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (TagId, &Tag)> {
        (0..).map(TagId).zip(&self.tags)
    }

    /// The cloud, if the documents know it.
    pub fn cloud(&self) -> Option<Cloud> {
        match &*self.cloud_word {
            "Public" => Some(Cloud::Public),
            "AzureGovernment" => Some(Cloud::UsGovernment),
            "China" => Some(Cloud::China),
            _ => None,
        }
    }
}

/// The error without its position, which is reported separately.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    match text {
        "EOF while parsing a value" => "the file is empty".to_owned(),
        text if text.starts_with("EOF while parsing") => "the file is truncated".to_owned(),
        text if text.starts_with("invalid length") => "not a service tag file".to_owned(),
        text => in_plain_words(text).unwrap_or_else(|| text.to_owned()),
    }
}

/// The eight digits in a name such as `ServiceTags_Public_20251028.json`, as a date.
fn date_in(file: &str) -> Option<String> {
    let digits = file.strip_suffix(".json")?.rsplit('_').next()?;
    let date = jiff::civil::Date::strptime("%Y%m%d", digits).ok()?;
    (digits.len() == 8).then(|| date.to_string())
}

struct Prefix<T> {
    start: T,
    end: T,
    len: u8,
    tag: TagId,
}

/// Interned lists of tags.
#[derive(Default)]
struct TagLists {
    ids: Vec<TagId>,
    interned: HashMap<Vec<TagId>, (u32, u16)>,
}

impl TagLists {
    fn intern(&mut self, list: Vec<TagId>) -> (u32, u16) {
        if let Some(slice) = self.interned.get(&list) {
            return *slice;
        }
        // A file has a few thousand tags, so the lists are far below these limits.
        let len = u16::try_from(list.len()).unwrap_or(u16::MAX);
        let slice = (u32::try_from(self.ids.len()).unwrap_or(u32::MAX), len);
        self.ids.extend(&list);
        self.interned.insert(list, slice);
        slice
    }
}

/// Splits the address space at the ends of all prefixes. `next` is the following address, if there is one.
fn segments<T: Copy + Ord + Default>(
    mut prefixes: Vec<Prefix<T>>,
    tags: &[Tag],
    lists: &mut TagLists,
    next: impl Fn(T) -> Option<T>,
    size: impl Fn(T, T) -> f64,
) -> Segments<T> {
    let order = rank_tags(&prefixes, tags, size);
    // Outer prefixes before those inside them.
    prefixes.sort_by(|a, b| a.start.cmp(&b.start).then(a.len.cmp(&b.len)));
    let mut out = Segments { starts: Vec::new(), lists: Vec::new() };
    let mut open: Vec<OpenPrefix<T>> = Vec::new();
    let nothing = lists.intern(Vec::new());
    push_segment(&mut out, T::default(), nothing);
    for group in prefixes.chunk_by(|a, b| a.start == b.start && a.len == b.len) {
        let Some(first) = group.first() else { continue };
        close_prefixes(&mut open, &mut out, nothing, |end| end < first.start, &next);
        // The tags of this prefix first, then those of the enclosing prefixes that are not among them.
        let mut ids: Vec<TagId> = group.iter().map(|prefix| prefix.tag).collect();
        ids.sort_by_key(|id| order.get(id.0 as usize).copied().unwrap_or(u32::MAX));
        ids.dedup();
        let outer = open.last().map(|outer| outer.ids.clone()).unwrap_or_default();
        ids.extend(outer.into_iter().filter(|id| !group.iter().any(|prefix| prefix.tag == *id)));
        let list = lists.intern(ids.clone());
        push_segment(&mut out, first.start, list);
        open.push(OpenPrefix { end: first.end, ids, list });
    }
    close_prefixes(&mut open, &mut out, nothing, |_| true, &next);
    out
}

/// A prefix that contains the current address of the sweep.
struct OpenPrefix<T> {
    end: T,
    ids: Vec<TagId>,
    list: (u32, u16),
}

/// Closes the prefixes that end; after each, the enclosing prefix continues.
fn close_prefixes<T: Copy + Ord>(
    open: &mut Vec<OpenPrefix<T>>,
    out: &mut Segments<T>,
    nothing: (u32, u16),
    ends_before: impl Fn(T) -> bool,
    next: impl Fn(T) -> Option<T>,
) {
    while let Some(inner) = open.pop_if(|inner| ends_before(inner.end)) {
        if let Some(start) = next(inner.end) {
            push_segment(out, start, open.last().map_or(nothing, |outer| outer.list));
        }
    }
}

/// Adds a segment; it replaces the last one if both begin at the same address.
fn push_segment<T: Copy + Ord>(out: &mut Segments<T>, start: T, list: (u32, u16)) {
    if out.starts.last() == Some(&start) {
        out.lists.pop();
        out.lists.push(list);
    } else {
        out.starts.push(start);
        out.lists.push(list);
    }
}

/// The rank of each tag among tags with equally long prefixes.
fn rank_tags<T: Copy>(prefixes: &[Prefix<T>], tags: &[Tag], size: impl Fn(T, T) -> f64) -> Vec<u32> {
    let mut sizes = vec![0.0; tags.len()];
    for prefix in prefixes {
        if let Some(sum) = sizes.get_mut(prefix.tag.0 as usize) {
            *sum += size(prefix.start, prefix.end);
        }
    }
    let size_of = |id: usize| sizes.get(id).copied().unwrap_or_default();
    // The size of a service is that of its largest tag.
    let mut families: HashMap<&str, f64> = HashMap::new();
    for (id, tag) in tags.iter().enumerate() {
        let family = families.entry(tag.family()).or_default();
        *family = family.max(size_of(id));
    }
    let mut ids: Vec<(usize, &Tag)> = tags.iter().enumerate().collect();
    ids.sort_by(|(a, a_tag), (b, b_tag)| {
        let family = |tag: &Tag| families.get(tag.family()).copied().unwrap_or_default();
        family(a_tag)
            .total_cmp(&family(b_tag))
            .then_with(|| a_tag.family().cmp(b_tag.family()))
            .then_with(|| a_tag.region.is_empty().cmp(&b_tag.region.is_empty()).reverse())
            .then_with(|| size_of(*a).total_cmp(&size_of(*b)))
            .then_with(|| a.cmp(b))
    });
    let mut order = vec![0; tags.len()];
    for (place, (id, _)) in (0..).zip(ids) {
        if let Some(slot) = order.get_mut(id) {
            *slot = place;
        }
    }
    order
}

/// For each value of the upper sixteen bits the first segment that begins there or later; one more entry at the end.
fn upper_index(starts: &[u32]) -> Vec<u32> {
    let mut index = Vec::with_capacity((1 << 16) + 1);
    let mut at = 0;
    for upper in 0..=u32::from(u16::MAX) {
        at += starts.iter().skip(at).take_while(|start| **start >> 16 < upper).count();
        index.push(u32::try_from(at).unwrap_or(u32::MAX));
    }
    index.push(u32::try_from(starts.len()).unwrap_or(u32::MAX));
    index
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn file(tags: &[(&str, &str, &[&str])]) -> String {
        let values: Vec<String> = tags
            .iter()
            .map(|(name, region, prefixes)| {
                format!(
                    "{{\"name\":\"{name}\",\"id\":\"{name}\",\"properties\":{{\"changeNumber\":1,\n\"region\":\"{region}\",\
                     \"systemService\":\"\",\"addressPrefixes\":{prefixes:?},\"networkFeatures\":null}}}}"
                )
            })
            .collect();
        format!("{{\"changeNumber\":7,\"cloud\":\"Public\",\"values\":[\n{}]}}", values.join(",\n"))
    }

    fn names(tags: &Tags, address: &str) -> Vec<String> {
        let address = Address::from(address.parse::<IpAddr>().unwrap());
        tags.lookup(address).iter().map(|id| tags.tag(*id).unwrap().name.to_string()).collect()
    }

    #[test]
    fn tags_of_an_address_are_most_specific_first() {
        let text = file(&[
            ("AzureCloud", "", &["20.0.0.0/8", "2603::/16"]),
            ("AzureCloud.westus2", "westus2", &["20.42.0.0/16"]),
            ("Sync.WestUS2", "westus2", &["20.42.131.224/29", "2603:1030:c06:1::300/123"]),
            ("Sync", "", &["20.42.131.224/29", "2603:1030:c06:1::300/123", "40.0.0.0/32"]),
        ]);
        let tags = Tags::parse("ServiceTags_Public_20251028.json", text.as_bytes()).unwrap();
        let check =
            |address: &str, expected: &[&str]| assert_eq!(names(&tags, address), expected, "{address}");
        check("20.42.131.224", &["Sync", "Sync.WestUS2", "AzureCloud.westus2", "AzureCloud"]);
        check("20.42.131.231", &["Sync", "Sync.WestUS2", "AzureCloud.westus2", "AzureCloud"]);
        check("20.42.131.232", &["AzureCloud.westus2", "AzureCloud"]);
        check("20.43.0.0", &["AzureCloud"]);
        check("19.255.255.255", &[]);
        check("21.0.0.0", &[]);
        check("40.0.0.0", &["Sync"]);
        check("40.0.0.1", &[]);
        check("255.255.255.255", &[]);
        check("2603:1030:c06:1::31f", &["Sync", "Sync.WestUS2", "AzureCloud"]);
        check("2603:1030:c06:1::320", &["AzureCloud"]);
        check("2604::", &[]);
        assert_eq!((&*tags.date, tags.change_number, tags.cloud()), ("2025-10-28", 7, Some(Cloud::Public)));
        assert_eq!(tags.find("sync.westus2"), Some(TagId(2)));
        assert_eq!(tags.sha256.len(), 64);
    }

    #[test]
    fn the_ends_of_the_address_space_are_found() {
        let text =
            file(&[("All", "", &["0.0.0.0/0", "::/0"]), ("End", "", &["255.255.255.255/32", "ffff::/16"])]);
        let tags = Tags::parse("x.json", text.as_bytes()).unwrap();
        assert_eq!(names(&tags, "0.0.0.0"), ["All"]);
        assert_eq!(names(&tags, "255.255.255.255"), ["End", "All"]);
        assert_eq!(names(&tags, "ffff::1"), ["End", "All"]);
        assert_eq!(&*tags.date, "");
    }

    #[test]
    fn an_invalid_file_is_reported_with_its_line() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Tags::parse("x.json", text.as_bytes()).unwrap_err().to_string(), expected);
        };
        let bad = file(&[("A", "", &["10.0.0.0/8"]), ("B", "", &["10.0.0.0/33"])]);
        check(&bad, "cannot read service tags: x.json:5: not a network: `10.0.0.0/33`");
        let twice = file(&[("A", "", &[]), ("a", "", &[])]);
        check(&twice, "cannot read service tags: x.json:4: duplicate tag `a`");
        check("{\n\"cloud\": 1}", "cannot read service tags: x.json:2: expected a text; found integer `1`");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_a_linear_search(
            prefixes in proptest::collection::vec((0u32..8, any::<u32>(), 0u8..=32), 0..60),
            addresses in proptest::collection::vec(any::<u32>(), 20),
        ) {
            let nets: Vec<(u32, ipnet::Ipv4Net)> = prefixes
                .iter()
                .map(|(tag, ip, len)| (*tag, ipnet::Ipv4Net::new((*ip & 0x0303_ffff).into(), *len).unwrap().trunc()))
                .collect();
            let of = |tag: u32| -> Vec<String> {
                nets.iter().filter(|(t, _)| *t == tag).map(|(_, net)| net.to_string()).collect()
            };
            let texts: Vec<Vec<String>> = (0..8).map(of).collect();
            let names: Vec<String> = (0..8).map(|tag| format!("T{tag}")).collect();
            let refs: Vec<Vec<&str>> = texts.iter().map(|list| list.iter().map(String::as_str).collect()).collect();
            let tags: Vec<(&str, &str, &[&str])> =
                names.iter().zip(&refs).map(|(name, list)| (name.as_str(), "", list.as_slice())).collect();
            let tags = Tags::parse("x.json", file(&tags).as_bytes()).unwrap();
            for ip in addresses.into_iter().map(|ip| ip & 0x0303_ffff).chain(nets.iter().map(|(_, net)| net.broadcast().into())) {
                let longest = |tag: u32| nets.iter().filter(|(t, net)| *t == tag && net.contains(&std::net::Ipv4Addr::from(ip))).map(|(_, net)| net.prefix_len()).max();
                let found: Vec<u32> = tags.lookup(Address::v4(ip.to_be_bytes())).iter().map(|id| id.0).collect();
                let lens: Vec<u8> = found.iter().map(|tag| longest(*tag).unwrap()).collect();
                prop_assert!(lens.is_sorted_by(|a, b| a >= b));
                let mut sorted = found;
                sorted.sort_unstable();
                prop_assert_eq!(sorted, (0..8).filter(|tag| longest(*tag).is_some()).collect::<Vec<_>>());
            }
        }
    }
}
