//! The frame of a page: head, style, first sentences, navigation, sections.
//!
//! In:  markup.
//! Out: a page that needs no other file, no network and no script.
//! Not: what it says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::DOCTYPE;
use maud::Markup;
use maud::PreEscaped;
use maud::html;
use sha2::Digest as _;
use sha2::Sha256;

const STYLE: &str = include_str!("style.css");

/// Whether the first sentences are good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something is wrong.
    Bad,
    /// Neither good nor bad.
    Neutral,
    /// Nothing is wrong.
    Good,
}

/// A page.
pub(crate) struct HtmlPage<'a> {
    /// In the title of the window.
    pub(crate) title: &'a str,
    /// The first line.
    pub(crate) heading: &'a str,
    /// Whether the first sentences are good news.
    pub(crate) tone: Tone,
    /// The first sentences.
    pub(crate) lead: Markup,
    /// Id, heading and content. There is at least one.
    pub(crate) sections: &'a [(&'a str, &'a str, Markup)],
    /// The last lines.
    pub(crate) footer: Markup,
}

impl HtmlPage<'_> {
    /// The whole file.
    pub(crate) fn markup(&self) -> Markup {
        // The hash permits this style alone: markup that got past the escaping could load and run nothing.
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
        );
        let lead = match self.tone {
            Tone::Bad => "lead bad",
            Tone::Neutral => "lead",
            Tone::Good => "lead good",
        };
        let first = self.sections.first().map_or(("", ""), |(id, heading, _)| (*id, *heading));
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href={ "#" (first.0) } { "Skip to: " (first.1) }
                    header {
                        h1 { (self.heading) }
                        div class=(lead) { (self.lead) }
                        nav aria-label="Sections" { ul { @for (id, heading, _) in self.sections { li { a href={ "#" (id) } { (heading) } } } } }
                    }
                    main {
                        @for (id, heading, content) in self.sections {
                            section id=(id) aria-labelledby={ (id) "-heading" } {
                                h2 id={ (id) "-heading" } { (heading) }
                                (content)
                            }
                        }
                    }
                    footer { (self.footer) }
                }
            }
        }
    }
}
