//! The page: a section for each file, and all that it needs in itself.

use std::io;
use std::time::SystemTime;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::read::{File, Results};
use super::{compare, evict, soak};
use crate::chart::ink;
use crate::process::Machine;
use crate::provenance::Provenance;

const STYLE: &str = include_str!("style.css");

/// Even if a text got through as markup, it could load nothing and run nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The whole page.
pub fn text(files: &[File]) -> io::Result<String> {
    let sections = files.iter().enumerate().map(section).collect::<io::Result<Vec<_>>>()?;
    let style = format!("{STYLE}@media (prefers-color-scheme:dark){{{}}}", ink::darkened());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "millpond-lab report" }
                style { (PreEscaped(style)) }
            }
            body {
                header {
                    h1 { "millpond-lab report" }
                    p { "Made " (humantime::format_rfc3339_seconds(SystemTime::now())) " by version " (env!("CARGO_PKG_VERSION")) "." }
                    (contents(files))
                }
                main { @for section in sections { (section) } }
            }
        }
    };
    Ok(page.into_string())
}

fn contents(files: &[File]) -> Markup {
    html! {
        @if files.len() > 1 {
            nav aria-label="Files" {
                ul { @for (at, file) in files.iter().enumerate() { li { a href={ "#" (id(at)) } { (file.name) } " (" (kind(file)) ")" } } }
            }
        }
        @if machines(files) > 1 {
            p.warning { "The files are of different machines: their times cannot be compared with each other." }
        }
    }
}

fn machines(files: &[File]) -> usize {
    let names = files.iter().filter_map(|file| file.provenance.machine.as_ref());
    names.map(|machine| (&machine.cpu, machine.cores, &machine.kernel)).collect::<std::collections::BTreeSet<_>>().len()
}

fn id(at: usize) -> String {
    format!("file{at}")
}

fn kind(file: &File) -> &'static str {
    match file.results {
        Results::Compare(_) => "compare",
        Results::Soak(_) => "soak",
        Results::Evict(_) => "evict",
    }
}

fn section((at, file): (usize, &File)) -> io::Result<Markup> {
    let id = id(at);
    let (facts, content) = match &file.results {
        Results::Compare(compare) => (compare::facts(compare), compare::content(&id, compare)?),
        Results::Soak(soak) => (soak::facts(soak), soak::content(&id, soak)?),
        Results::Evict(evict) => (evict::facts(evict), evict::content(&id, evict)?),
    };
    Ok(html! {
        section id=(id) aria-labelledby={ (id) "-head" } {
            h2 id={ (id) "-head" } { (kind(file)) " " span.file { (file.name) } }
            dl.facts {
                @for (name, value) in provenance(&file.provenance).into_iter().chain(facts) { div.command[name == "command"] { dt { (name) } dd { (value) } } }
            }
            (content)
        }
    })
}

type Facts = Vec<(&'static str, String)>;

fn provenance(of: &Provenance) -> Facts {
    let machine = |Machine { cpu, cores, kernel }: &Machine| format!("{cpu}, {cores} cores, {kernel}");
    let facts = [
        ("machine", of.machine.as_ref().map(machine)),
        ("command", of.command.clone()),
        ("version", of.version.clone()),
        ("written", of.when.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A chart, for each width of paper that it is drawn for, with its figures as a table.
pub struct Figure<'a> {
    pub id: &'a str,
    pub title: &'a str,
    /// What stands below the title.
    pub remark: &'a str,
    /// Elements, and the class that says when they are shown.
    pub charts: Vec<(&'static str, String)>,
    pub table: Markup,
    /// Whether the table is to be seen at once.
    pub is_open: bool,
}

pub fn figure(figure: &Figure<'_>) -> Markup {
    html! {
        figure.chart id=(figure.id) {
            figcaption { strong { (figure.title) } @if !figure.remark.is_empty() { br; span.remark { (figure.remark) } } }
            @for (class, svg) in &figure.charts { div class=(class) { (PreEscaped(svg)) } }
            details open[figure.is_open] { summary { "Figures" } (scrolling(figure.title, &figure.table)) }
        }
    }
}

/// What is wide moves in its own box, also by keys.
pub fn scrolling(name: &str, content: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label={ "Table: " (name) } { (content) } }
}

pub fn table(heads: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        table {
            thead { tr { @for head in heads { th scope="col" { (head) } } } }
            tbody {
                @for row in rows {
                    tr { @for (at, cell) in row.iter().enumerate() { @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } } } }
                }
            }
        }
    }
}
