//! Manual pages.
//!
//! In:  the definition of the command line, and the notes of each command.
//! Out: pages in man(7) format.
//! Not: where they are installed; see the Makefile.

use std::io;
use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;
use clap_mangen::Man;
use clap_mangen::roff::Inline;
use clap_mangen::roff::Roff;
use clap_mangen::roff::bold;
use clap_mangen::roff::roman;

use super::command_notes::CommandNotes;
use super::command_notes::notes;
use crate::rules::nearest;

/// The page of the command with these words; without a word, of the program itself.
pub(super) fn page(words: &[String]) -> anyhow::Result<Vec<u8>> {
    let mut program = super::command();
    program.build();
    let mut command = &program;
    for word in words {
        let Some(found) = command.find_subcommand(word) else {
            let known = command.get_subcommands().map(clap::Command::get_name);
            match nearest(word, known) {
                Some(near) => bail!("no such command: {word}, did you mean `{near}`?"),
                None => bail!("no such command: {word}"),
            }
        };
        command = found;
    }
    Ok(render(command, &words.join(" "))?)
}

/// Writes the pages of all commands to a folder.
pub(super) fn write_all(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut program = super::command();
    program.build();
    write_pages(&program, "", folder)
}

fn write_pages(command: &clap::Command, words: &str, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(format!("{}.1", page_name(words)));
    std::fs::write(&path, render(command, words)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    for sub in documented(command) {
        write_pages(sub, format!("{words} {}", sub.get_name()).trim_start(), folder)?;
    }
    Ok(())
}

/// The commands of a command, without `help`.
fn documented(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|sub| sub.get_name() != "help")
}

fn page_name(words: &str) -> String {
    format!("afs-audit {words}").trim_end().replace(' ', "-")
}

fn render(command: &clap::Command, words: &str) -> io::Result<Vec<u8>> {
    let about = notes(words);
    let man = Man::new(command.clone())
        .title(page_name(words))
        .source(concat!("afs-audit ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    // No hyphens at the ends of lines: a command or an option that is copied must be whole.
    write_roff(&mut page, |roff| {
        roff.control("nh", []).control("ad", ["l"]);
    })?;
    man.render_name_section(&mut page)?;
    write_roff(&mut page, |roff| add_synopsis(roff, command))?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    write_roff(&mut page, |roff| {
        add_commands(roff, command, words);
        if let Some(about) = about {
            add_notes(roff, about);
        }
        add_references(roff, command, words);
    })?;
    Ok(page)
}

fn write_roff(page: &mut Vec<u8>, add: impl FnOnce(&mut Roff)) -> io::Result<()> {
    let mut roff = Roff::new();
    add(&mut roff);
    roff.to_writer(page)
}

fn add_synopsis(roff: &mut Roff, command: &clap::Command) {
    let usage = command.clone().render_usage().to_string();
    roff.control("SH", ["SYNOPSIS"]);
    add_unfilled(roff, usage.trim_start_matches("Usage:").lines().map(str::trim));
}

fn add_commands(roff: &mut Roff, command: &clap::Command, words: &str) {
    if documented(command).next().is_none() {
        return;
    }
    roff.control("SH", ["COMMANDS"]);
    for sub in documented(command) {
        let page = page_name(format!("{words} {}", sub.get_name()).trim_start());
        let text = sub.get_about().map(ToString::to_string).unwrap_or_default();
        roff.control("TP", []).text([bold(page), roman("(1)")]).text([roman(text)]);
    }
}

fn add_notes(roff: &mut Roff, about: &CommandNotes) {
    for (heading, text) in about.sections {
        roff.control("SH", [heading.to_uppercase().as_str()]);
        // A list of words is kept as it is; prose is filled.
        if text.lines().any(|line| line.contains("  ")) {
            add_unfilled(roff, text.lines());
        } else {
            roff.text([roman(text.replace('\n', " "))]);
        }
    }
    roff.control("SH", ["EXAMPLES"]);
    for (line, text) in about.examples {
        roff.control("PP", []).text([roman(*text)]);
        roff.control("RS", ["4"]);
        add_unfilled(roff, std::iter::once(*line));
        roff.control("RE", []);
    }
    add_definitions(roff, "EXIT STATUS", about.exit_status);
    add_definitions(roff, "FILES", about.files);
    let no_color =
        [("NO_COLOR", "if set and not empty, there are no colours unless --color always is given")];
    let environment: Vec<(&str, &str)> = about.environment.iter().copied().chain(no_color).collect();
    add_definitions(roff, "ENVIRONMENT", &environment);
}

fn add_definitions(roff: &mut Roff, heading: &str, definitions: &[(&str, &str)]) {
    if definitions.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for (term, text) in definitions {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
}

fn add_references(roff: &mut Roff, command: &clap::Command, words: &str) {
    let mut pages: Vec<String> = Vec::new();
    if !words.is_empty() {
        let parent = words.rsplit_once(' ').map_or("", |(parent, _)| parent);
        pages.push(page_name(parent));
    }
    pages
        .extend(documented(command).map(|sub| page_name(format!("{words} {}", sub.get_name()).trim_start())));
    roff.control("SH", ["SEE ALSO"]);
    let mut line: Vec<Inline> = Vec::new();
    for page in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(page), roman("(1)")]);
    }
    roff.text(line);
}

/// Lines that are neither filled nor broken.
fn add_unfilled<'a>(roff: &mut Roff, lines: impl Iterator<Item = &'a str>) {
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}
