//! Opens a page in a browser, light and dark, and checks what holds for every page.

#![allow(clippy::indexing_slicing, reason = "what is not there fails the test")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::prerequisites::not_run;

/// What happened when a browser opened the page, light and dark; none where there is no browser.
fn inspect(page: &Path) -> Option<Value> {
    let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    let Some(chromium) = chromium else {
        not_run("missing programs: chromium");
        return None;
    };
    let axe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe.min.js");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/inspect_page.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(chromium).arg(page);
    match axe.is_file() {
        true => drop(command.arg(axe)),
        false => not_run("no axe-core: tools/test-tools gets it with npm"),
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Checks what holds for every page.
pub fn check_in_browser(page: &Path) {
    let Some(found) = inspect(page) else { return };
    assert_eq!(found["console"], serde_json::json!([]), "nothing on the console");
    assert_eq!(found["requests"], serde_json::json!([]), "no request");
    for scheme in ["light", "dark"] {
        let found = &found[scheme];
        for none in [
            "scripts",
            "handlers",
            "tables_without_caption",
            "headers_without_scope",
            "sections_without_name",
            "overflow",
        ] {
            assert_eq!(found[none], 0, "{scheme}: {none}");
        }
        for empty in ["duplicate_ids", "broken_links", "other_links", "low_contrast"] {
            assert_eq!(found[empty], serde_json::json!([]), "{scheme}: {empty}");
        }
        assert_eq!(found["ran"], false, "{scheme}: a script ran");
        assert_eq!(found["landmarks"], serde_json::json!(["header", "nav", "main", "footer"]));
        assert_eq!(found["headings"], 1);
        assert!(
            found["axe"].is_null() || found["axe"] == serde_json::json!([]),
            "{scheme}: {}",
            found["axe"]
        );
    }
}
