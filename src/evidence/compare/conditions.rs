//! Finds what limits a comparison of two runs.
//!
//! In:  the manifests and the servers of both.
//! Out: a condition for each difference between the runs, and for each loss of one.
//! Not: what changed in the network.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::ComparedSide;
use super::rows::Change;
use super::rows::ChangeRow;
use super::rows::Subject;
use crate::base::Time;
use crate::report::duration;
use crate::report::grouped;
use crate::report::parse_time;

/// Elements of a list that are named.
const NAMED: usize = 8;

/// The conditions that differ, in a fixed order.
pub(super) fn conditions(before: &ComparedSide<'_>, after: &ComparedSide<'_>) -> Vec<ChangeRow> {
    let mut found = Vec::new();
    let mut add = |what: &str, [before, after]: [String; 2], message: &str| {
        found.push(ChangeRow {
            before,
            after,
            message: message.to_owned(),
            ..ChangeRow::new(Subject::Condition, Change::Differs, what)
        });
    };
    let sides = [before, after];
    let manifests = sides.map(|side| side.evidence.manifest());

    let only = [
        before.run.servers.difference(&after.run.servers).copied().collect::<Vec<IpAddr>>(),
        after.run.servers.difference(&before.run.servers).copied().collect(),
    ];
    if only.iter().any(|servers| !servers.is_empty()) {
        let named = only.map(|servers| named(servers.iter().map(ToString::to_string)));
        add("servers of one run only", named, "they are not compared");
    }
    let times = manifests.map(|manifest| ["first_seen", "last_seen"].map(|key| time(manifest, key)));
    if let [[Some(first), _], [Some(second), _]] = times
        && second < first
    {
        add(
            "order",
            [first.to_string(), second.to_string()],
            "the run after was captured first: the arguments may be in the wrong order",
        );
    }
    if let [Some(one), Some(other)] = times.map(length)
        // Within a third, chance decides more than length.
        && one.max(other) as f64 > one.min(other) as f64 * 1.5
    {
        let message = "what the shorter capture does not show may only have been missed";
        add("length of the capture", [one, other].map(duration), message);
    }
    if let [Some(one), Some(other)] = manifests.map(input_hashes)
        && one == other
        && before.evidence.folder() != after.evidence.folder()
        && policy(manifests[0]) != policy(manifests[1])
    {
        let message = "the same captures: the differences come from the rules, not from the network";
        add("captures", [String::new(), String::new()], message);
    }
    let sites = manifests.map(site_products);
    if manifests.map(|manifest| text(manifest, &["site", "sha256"]).to_owned()).windows(2).any(differ) {
        let message = match manifests.map(|manifest| manifest.get("site").is_some()) {
            [true, true] => "the runs may need other endpoints",
            _ => "without a site file, the endpoints that the site needs are not known",
        };
        let paths = manifests.map(|manifest| match text(manifest, &["site", "path"]) {
            "" => "none".to_owned(),
            path => path.to_owned(),
        });
        add("site file", paths, message);
    }
    if sites.windows(2).any(differ) {
        add("products", sites, "endpoints of one run only are not compared");
    }
    let [documents_before, documents_after] = manifests.map(documents);
    let only = |own: &BTreeMap<&str, &str>, other: &BTreeMap<&str, &str>| {
        let differs = |(id, hash): &(&&str, &&str)| other.get(*id) != Some(*hash);
        named(own.iter().filter(differs).map(|(id, _)| (*id).to_owned()))
    };
    let old = only(&documents_before, &documents_after);
    let new = only(&documents_after, &documents_before);
    if !old.is_empty() || !new.is_empty() {
        add("documents", [old, new], "verdicts and requirements may differ for this reason alone");
    }
    let tags = manifests.map(|manifest| text(manifest, &["service_tags", "sha256"]).to_owned());
    if tags.windows(2).any(differ) {
        let files = manifests.map(|manifest| match text(manifest, &["service_tags", "file"]) {
            "" => "none".to_owned(),
            file => file.to_owned(),
        });
        add("service tags", files, "verdicts on addresses may differ for this reason alone");
    }
    let versions = manifests.map(|manifest| text(manifest, &["tool", "version"]).to_owned());
    if versions.windows(2).any(differ) {
        add("version of afs-audit", versions, "verdicts and texts may differ for this reason alone");
    }
    let partial = manifests.map(|manifest| {
        let reasons = strings(manifest.get("not_done"));
        match text(manifest, &["partial_because"]) {
            "" => named(reasons.into_iter()),
            why => named(std::iter::once(why.to_owned()).chain(reasons)),
        }
    });
    if partial.iter().any(|reasons| !reasons.is_empty()) {
        add("run not complete", partial, "a part of the traffic was not audited");
    }
    let dropped = manifests.map(dropped_packets);
    if dropped.iter().any(|packets| *packets > 0) {
        let message = "a missing packet proves nothing where the capture dropped some";
        add("dropped packets", dropped.map(grouped), message);
    }
    for (key, what) in [("damage", "damaged captures"), ("limits_reached", "limits reached")] {
        let lines = manifests.map(|manifest| named(strings(manifest.get(key)).into_iter()));
        if lines.iter().any(|lines| !lines.is_empty()) {
            add(what, lines, "a part of the traffic was not audited");
        }
    }
    let left_out = sides.map(|side| {
        named(side.run.left_out.iter().map(|(table, rows)| format!("{table}: {} rows", grouped(*rows))))
    });
    if left_out.iter().any(|tables| !tables.is_empty()) {
        add("rows not compared", left_out, "the tables have more rows than are compared");
    }
    found
}

fn differ(pair: &[String]) -> bool {
    matches!(pair, [one, other] if one != other)
}

fn time(manifest: &Value, key: &str) -> Option<Time> {
    parse_time(text(manifest, &[key]))
}

fn length([first, last]: [Option<Time>; 2]) -> Option<u64> {
    Some(last?.since(first?))
}

/// A text at a path of keys; empty if it is missing.
fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    let found = path.iter().try_fold(value, |value, key| value.get(key));
    found.and_then(Value::as_str).unwrap_or_default()
}

fn strings(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The first texts of a list, and how many more there are.
fn named(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.collect();
    let shown = texts.iter().take(NAMED).cloned().collect::<Vec<String>>().join(", ");
    match texts.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {} more", grouped(more as u64)),
    }
}

fn documents(manifest: &Value) -> BTreeMap<&str, &str> {
    let documents = manifest.get("documents").and_then(Value::as_array).into_iter().flatten();
    documents.map(|document| (text(document, &["id"]), text(document, &["sha256"]))).collect()
}

/// The products of the documents that the flows were compared with.
fn site_products(manifest: &Value) -> String {
    let products: BTreeSet<&str> =
        documents(manifest).keys().map(|id| id.split('@').next().unwrap_or(id)).collect();
    named(products.into_iter().map(str::to_owned))
}

/// What verdicts depend on besides the captures.
fn policy(manifest: &Value) -> Vec<String> {
    let own = [["site", "sha256"], ["service_tags", "sha256"], ["tool", "version"]];
    let own = own.iter().map(|path| text(manifest, path).to_owned());
    own.chain(documents(manifest).iter().map(|(id, hash)| format!("{id} {hash}"))).collect()
}

/// The hashes of the inputs; none if one has no hash.
fn input_hashes(manifest: &Value) -> Option<BTreeSet<&str>> {
    let inputs = manifest.get("inputs").and_then(Value::as_array).filter(|inputs| !inputs.is_empty())?;
    let hash = |input| match (text(input, &["sha256"]), text(input, &["blake3"])) {
        ("", "") => None,
        ("", blake3) => Some(blake3),
        (sha256, _) => Some(sha256),
    };
    inputs.iter().map(hash).collect()
}

/// Packets that the capture devices report as dropped.
fn dropped_packets(manifest: &Value) -> u64 {
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or_default();
    let of_input = |input: &Value| {
        let interfaces = input.get("interfaces").and_then(Value::as_array).into_iter().flatten();
        let of_interface = |interface: &Value| {
            number(interface, "dropped").saturating_add(number(interface, "dropped_by_system"))
        };
        interfaces.map(of_interface).fold(0, u64::saturating_add).max(number(input, "reported_drops"))
    };
    let inputs = manifest.get("inputs").and_then(Value::as_array).into_iter().flatten();
    inputs.map(of_input).fold(0, u64::saturating_add)
}
