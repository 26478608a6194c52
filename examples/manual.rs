//! Writes the reference pages from the tables in the code: `cargo run --example manual -- docs/reference`.

use std::fmt::Write as _;
use std::path::Path;

use afs_audit::evidence::AllowRow;
use afs_audit::evidence::ChangeRow;
use afs_audit::judge::DnsRow;
use afs_audit::judge::FindingCode;
use afs_audit::judge::FindingRow;
use afs_audit::judge::FlowRow;
use afs_audit::judge::InconclusiveReason;
use afs_audit::judge::Mechanism;
use afs_audit::judge::RequirementRow;
use afs_audit::judge::Texts;
use afs_audit::read::AttributeKey;
use afs_audit::report::TableRow;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "docs/reference".to_owned());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (name, page) in [
        ("columns.md", columns()?),
        ("findings.md", findings()?),
        ("attributes.md", attributes()?),
        ("commands.md", commands()?),
    ] {
        std::fs::write(
            folder.join(name),
            format!("<!-- Written by `make manual`: change the code instead. -->\n\n{page}"),
        )?;
    }
    Ok(())
}

fn columns() -> Result<String, std::fmt::Error> {
    let mut page = String::from(
        "# Columns\n\n\
         The tables of an evidence folder and the output of `compare` and `allowlist`, and the keys of `--format jsonl`, where each record is one object and its first key,\n\
         `record`, says which table it belongs to. New columns go to the end; none is renamed.\n\n\
         In CSV, times are UTC with nine digits, missing is empty, and lists are joined with `;`. A `;` inside of an element is\n\
         written `\\x3b`. Text that others chose and that a spreadsheet would take for a formula has a `'` in front.\n\
         In JSON, numbers are numbers, lists are arrays, and what is missing is left out.\n\n\
         A frame is its number in the row's `file`; a frame in another file is `name#number`.\n",
    );
    table::<FlowRow>(&mut page)?;
    table::<DnsRow>(&mut page)?;
    table::<FindingRow>(&mut page)?;
    table::<RequirementRow>(&mut page)?;
    table::<ChangeRow>(&mut page)?;
    table::<AllowRow>(&mut page)?;
    Ok(page)
}

fn table<R: TableRow>(page: &mut String) -> std::fmt::Result {
    writeln!(
        page,
        "\n## {}: `\"record\": \"{}\"`\n\n| column | what it holds |\n| --- | --- |",
        R::FILE,
        R::RECORD
    )?;
    for column in R::COLUMNS {
        writeln!(page, "| `{}` | {} |", column.name, column.about)?;
    }
    Ok(())
}

fn findings() -> Result<String, std::fmt::Error> {
    let mut page = String::from("# Findings\n");
    for code in FindingCode::ALL {
        let entry = code.entry();
        writeln!(page, "\n## {code} {}\n\nSeverity: {}.\n", entry.title, entry.severity)?;
        texts(&mut page, &entry.texts)?;
    }
    page.push_str("\n# Mechanisms\n\nHow a flow or a name was blocked: the column `mechanism`.\n");
    for mechanism in Mechanism::ALL {
        writeln!(page, "\n## `{mechanism}`\n\nFinding: {}.\n", mechanism.finding())?;
        texts(&mut page, &mechanism.texts())?;
    }
    page.push_str(
        "\n# Inconclusive\n\nWhy an outcome is inconclusive: the column `inconclusive_reason`.\n\n",
    );
    page.push_str("| reason | meaning |\n| --- | --- |\n");
    for reason in InconclusiveReason::ALL {
        writeln!(page, "| `{reason}` | {} |", reason.text())?;
    }
    Ok(page)
}

fn texts(page: &mut String, texts: &Texts) -> std::fmt::Result {
    writeln!(page, "- What it looks like: {}.", texts.looks_like)?;
    writeln!(page, "- What usually causes it: {}.", texts.cause)?;
    writeln!(page, "- What to do: {}.", texts.recommendation)?;
    writeln!(page, "- What else it could be: {}.", texts.alternatives)
}

fn attributes() -> Result<String, std::fmt::Error> {
    let mut page = String::from(
        "# Attributes\n\nThe properties of a flow that readers emit, and the column of `flows.csv` that holds each. Those without a \
         column are used by checks only.\n\n| attribute | description | column |\n| --- | --- | --- |\n",
    );
    for key in AttributeKey::ALL {
        let column = Some(key.column()).filter(|column| !column.is_empty());
        let column = column.map(|column| format!("`{column}`")).unwrap_or_default();
        writeln!(page, "| `{}` | {} | {column} |", key.name(), key.about())?;
    }
    Ok(page)
}

fn commands() -> Result<String, std::fmt::Error> {
    let mut page = String::from("# Commands\n");
    let mut whole = afs_audit::cli::command().term_width(100).color(clap::ColorChoice::Never);
    whole.build();
    help(&mut page, &mut whole, "afs-audit")?;
    Ok(page)
}

fn help(page: &mut String, command: &mut clap::Command, path: &str) -> std::fmt::Result {
    let text = command.render_long_help().to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    writeln!(page, "\n## {path}\n\n```text\n{}\n```", lines.join("\n"))?;
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        help(page, sub, &format!("{path} {}", sub.get_name().to_owned()))?;
    }
    Ok(())
}
