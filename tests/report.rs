//! The page `report.html`: made from the evidence alone, safe with hostile text, of bounded size, and readable in a browser.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod support;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use sha2::Digest as _;
use support::browser::check_in_browser;

/// Breaks out of text, attributes, comments and style where it is not escaped, and turns text around.
const HOSTILE: &str =
    "\"'>--></style><script>window.ran=1</script><img src=x onerror=window.ran=1>\u{202e}\u{ad}";

/// Runs the program; findings are not an error.
fn afs_audit(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit")).args(arguments).output().unwrap();
    assert!(output.status.code() < Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The evidence of a capture of the repository.
fn evidence(case: &str, folder: &Path) -> PathBuf {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(case);
    let output = folder.join("evidence");
    let [capture, site, out] = [case.join("capture.pcap"), case.join("site.toml"), output.clone()];
    let [capture, site, out] = [&capture, &site, &out].map(|path| path.to_str().unwrap());
    afs_audit(&["analyze", capture, "--site", site, "-o", out, "-q"]);
    output
}

fn report(evidence: &Path) -> String {
    afs_audit(&["report", evidence.to_str().unwrap()])
}

#[test]
fn the_page_is_made_from_the_evidence_alone() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let page = fs::read_to_string(evidence.join("report.html")).unwrap();
    assert_eq!(report(&evidence), page);
    let again = folder.path().join("again.html");
    afs_audit(&["report", evidence.to_str().unwrap(), "-o", again.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(again).unwrap(), page);
    for expected in [
        "2 required endpoints look blocked</strong> for 10.1.0.5: Azure File Sync in West Europe, Azure File Sync in North Europe",
        "<strong>First: </strong>",
        "Azure File Sync in West Europe: 1 attempt succeeded, 1 looked blocked. ",
        "contosofs.file.core.windows.net: 2 attempts succeeded, 0 looked blocked. ",
        "href=\"#explain-AFS202\"",
        "id=\"explain-AFS202\"",
        "href=\"#input-0\"",
        "id=\"row-afs-2024-05-13_endpoints_6.2\"",
        "<span class=\"state\">blocked</span>",
        "<svg",
        "https://github.com/MicrosoftDocs/azure-docs/blob/",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    check_in_browser(&evidence.join("report.html"));
}

#[test]
fn changed_evidence_gives_no_page() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let findings = evidence.join("findings.csv");
    fs::write(&findings, fs::read_to_string(&findings).unwrap().replace("high", "low")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit")).arg("report").arg(&evidence).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("findings.csv: not as the manifest describes it"), "{message}");
}

/// Puts hostile text into every text of a JSON value, except keys, times, hashes and the name of the tool.
fn spoil(value: &mut Value) {
    match value {
        Value::String(text) if text == "afs-audit" || text.ends_with('Z') => {}
        Value::String(text) => *text = format!("{text}{HOSTILE}"),
        Value::Array(list) => list.iter_mut().for_each(spoil),
        Value::Object(object) => object.values_mut().for_each(spoil),
        _ => {}
    }
}

#[test]
fn hostile_text_in_every_value_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = evidence("demo", folder.path());
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(evidence.join("manifest.json")).unwrap()).unwrap();
    let mut outputs = manifest["outputs"].take();
    spoil(&mut manifest);
    for output in outputs.as_array_mut().unwrap() {
        let path = evidence.join(output["name"].as_str().unwrap());
        if path.extension().is_some_and(|extension| extension == "csv") {
            let mut reader = csv::Reader::from_path(&path).unwrap();
            let headers = reader.headers().unwrap().clone();
            let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            let mut writer = csv::Writer::from_path(&path).unwrap();
            writer.write_record(&headers).unwrap();
            for row in &rows {
                // Numbers, times and the words by which rows are sorted keep their meaning.
                let kept =
                    ["severity", "state", "outcome", "destination_verdict", "count", "reached", "blocked"];
                let spoiled = headers.iter().zip(row).map(|(column, text)| {
                    let is_kept = kept.contains(&column) || text.is_empty() || text.ends_with('Z');
                    if is_kept { text.to_owned() } else { format!("{text}{HOSTILE}") }
                });
                writer.write_record(spoiled).unwrap();
            }
            writer.flush().unwrap();
        }
        let bytes = fs::read(&path).unwrap();
        let hash: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        output["bytes"] = bytes.len().into();
        output["sha256"] = hash.into();
    }
    manifest["outputs"] = outputs;
    fs::write(evidence.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();

    let page = report(&evidence);
    assert!(page.contains("&lt;script&gt;window.ran=1&lt;/script&gt;"), "the text is shown");
    for markup in ["<script", "<img", "onerror=window.ran=1>", "\u{202e}", "\u{ad}"] {
        assert!(!page.contains(markup), "{markup}");
    }
    let path = folder.path().join("hostile.html");
    fs::write(&path, page).unwrap();
    check_in_browser(&path);
}

/// A capture of 200 servers, each of which resolves and contacts the same names; every seventh gets no response, every
/// eleventh is reset.
fn busy_site() -> Vec<u8> {
    let mut capture: Vec<u8> =
        [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1].iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut time = 1_784_542_272_000_000u64;
    let mut ip = |from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]| {
        let mut frame = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((20 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
        frame.extend(from);
        frame.extend(to);
        frame.extend(payload);
        let len = frame.len() as u32;
        time += 40_000;
        capture.extend(
            [(time / 1_000_000) as u32, (time % 1_000_000) as u32, len, len]
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        );
        capture.extend(frame);
    };
    let resolver = [10, 1, 0, 53];
    for server in 0..200u16 {
        let client = [10, 1, (server / 100) as u8 + 1, (server % 100) as u8 + 1];
        for (number, first_label) in ["westeurope01", "kailani6", "tm-westeurope01"]
            .iter()
            .chain(&["a-long-name-that-nobody-documents"; 3])
            .enumerate()
        {
            let suffix: &[&str] =
                if number == 1 { &["one", "microsoft", "com"] } else { &["afs", "azure", "net"] };
            let address = [52, 138, number as u8, 20];
            let label = if number > 2 {
                format!("{first_label}-{server}-{number}")
            } else {
                (*first_label).to_owned()
            };
            let mut name = Vec::new();
            for label in std::iter::once(label.as_str()).chain(suffix.iter().copied()) {
                name.push(label.len() as u8);
                name.extend(label.as_bytes());
            }
            name.push(0);
            for is_response in [false, true] {
                let mut dns = vec![
                    number as u8,
                    server as u8,
                    if is_response { 0x81 } else { 1 },
                    0x80,
                    0,
                    1,
                    0,
                    u8::from(is_response),
                    0,
                    0,
                    0,
                    0,
                ];
                dns.extend(&name);
                dns.extend([0, 1, 0, 1]);
                if is_response {
                    dns.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    dns.extend(address);
                }
                let [from, to] =
                    if is_response { [53, 50000 + number as u16] } else { [50000 + number as u16, 53] };
                let mut udp =
                    [from.to_be_bytes(), to.to_be_bytes(), (8 + dns.len() as u16).to_be_bytes(), [0, 0]]
                        .concat();
                udp.extend(dns);
                if is_response { ip(resolver, client, 17, &udp) } else { ip(client, resolver, 17, &udp) }
            }
            let tcp = |from: u16, to: u16, numbers: [u32; 2], flags: u8| {
                [
                    &from.to_be_bytes()[..],
                    &to.to_be_bytes(),
                    &numbers[0].to_be_bytes(),
                    &numbers[1].to_be_bytes(),
                    &[0x50, flags, 0x20, 0, 0, 0, 0, 0],
                ]
                .concat()
            };
            let port = 40000 + number as u16;
            for _ in 0..4 {
                ip(client, address, 6, &tcp(port, 443, [1, 0], 2));
            }
            if server % 7 != 0 {
                ip(address, client, 6, &tcp(443, port, [0, 2], if server % 11 == 0 { 0x14 } else { 0x12 }));
            }
        }
    }
    capture
}

#[test]
fn the_page_of_two_hundred_servers_is_below_a_megabyte() {
    let folder = tempfile::tempdir().unwrap();
    // The name of a capture is text that others choose, too.
    let capture = folder.path().join("busy <b>\"day\" \u{202e}.pcap");
    fs::write(&capture, busy_site()).unwrap();
    let site = folder.path().join("site.toml");
    fs::write(&site, "[site]\ncloud = \"public\"\nproducts = [\"azure-file-sync\"]\n[azure-file-sync]\nregion = \"West Europe\"\n").unwrap();
    let output = folder.path().join("evidence");
    afs_audit(&[
        "analyze",
        capture.to_str().unwrap(),
        "--site",
        site.to_str().unwrap(),
        "-o",
        output.to_str().unwrap(),
        "-q",
    ]);
    let page = fs::read_to_string(output.join("report.html")).unwrap();
    println!("{} bytes", page.len());
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains(" servers</th>"), "servers with the same states share a column");
    assert!(page.contains("in findings.csv"), "what is left out is counted");
    assert!(!page.contains("<b>"), "the name of the capture is escaped");
    check_in_browser(&output.join("report.html"));
}
