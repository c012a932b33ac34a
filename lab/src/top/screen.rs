//! What is on the terminal: rates and memory with their history, budgets, and pools.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};

use super::history::History;
use super::plain::{line, percent};
use crate::board::snapshot::{Origins, Snapshot};
use crate::chart::number::{bytes, grouped};
use crate::size::Bytes;

/// What is shown, and of whom.
pub struct View {
    pub history: History,
    pub process: u32,
    /// Which of how many that run.
    pub place: (usize, usize),
    /// Why nothing more comes, if nothing does.
    pub end: Option<String>,
}

/// Below this, there are lines and no boxes.
const SMALL: (u16, u16) = (64, 20);
/// Names before figures in boxes.
const NAMES: usize = 13;
/// Columns of the box of budgets: names, gauges, and limits as long as `1023.9MiB`.
const BUDGETS: u16 = 32;
const GAUGE: usize = 6;

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

pub fn draw(frame: &mut Frame<'_>, view: &View) {
    let area = frame.area();
    let Some(now) = &view.history.now else {
        let text =
            view.end.as_deref().map_or_else(|| "no numbers yet".to_owned(), |end| format!("{end}; no numbers came"));
        return frame.render_widget(Paragraph::new(vec![head(view), text.into(), keys(view)]), area);
    };
    if area.width < SMALL.0 || area.height < SMALL.1 {
        return frame.render_widget(small(view), area);
    }
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(12),
        Constraint::Min(3),
        Constraint::Length(1),
    ]);
    let [top, state, upper, lower, bottom] = rows.areas(area);
    frame.render_widget(head(view), top);
    frame.render_widget(status(view, now), state);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(upper);
    rates(frame, left, view);
    memory(frame, right, view, now);
    let [left, right] = Layout::horizontal([Constraint::Length(BUDGETS), Constraint::Fill(1)]).areas(lower);
    budgets(frame, left, now);
    pools(frame, right, view, now);
    frame.render_widget(keys(view), bottom);
}

fn head(view: &View) -> Line<'static> {
    let (nth, all) = view.place;
    let which = if all > 1 { format!(", {nth} of {all}") } else { String::new() };
    let command = view.history.now.as_ref().map_or_else(String::new, |now| format!(": {}", shortened(&now.command)));
    Line::styled(format!("process {}{which}{command}", view.process), bold())
}

/// Without the folders of the program.
fn shortened(command: &str) -> String {
    let (program, arguments) = command.split_once(' ').unwrap_or((command, ""));
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    let shown = |c: char| if c.is_control() { '?' } else { c };
    format!("{name} {arguments}").trim_end().chars().map(shown).collect()
}

fn status(view: &View, now: &Snapshot) -> Line<'static> {
    let at = format!("{:.0} s, {:.0} %: {}", now.at, 100.0 * now.progress, now.phase);
    match &view.end {
        None => Line::from(at),
        Some(end) => Line::from(vec![
            Span::styled(format!("ENDED: {end}; "), bold().fg(Color::Red)),
            Span::raw(format!("its last state, after {at}")),
        ]),
    }
}

fn keys(view: &View) -> Line<'static> {
    let next = if view.place.1 > 1 { "  Tab: the next one" } else { "" };
    Line::styled(format!("q: quit{next}"), faint())
}

/// Boxes for a terminal too small for boxes.
fn small(view: &View) -> Text<'static> {
    let mut lines = vec![head(view)];
    lines.extend(view.end.as_ref().map(|end| Line::styled(format!("ENDED: {end}"), bold())));
    let figures = line(&view.history).unwrap_or_default();
    lines.extend(figures.split(", ").map(|part| Line::from(part.to_owned())));
    Text::from(lines)
}

fn figure(name: &str, value: &str) -> Line<'static> {
    Line::from(vec![Span::styled(format!("{name:<NAMES$}"), faint()), Span::raw(format!("{value:>14}"))])
}

/// The newest at the right end, as many as fit.
fn spark(frame: &mut Frame<'_>, area: Rect, values: &VecDeque<u64>, colour: Color) {
    let fitting = values.len().min(area.width as usize);
    let mut shown = vec![0; area.width as usize - fitting];
    shown.extend(values.iter().skip(values.len() - fitting));
    frame.render_widget(Sparkline::default().data(shown).style(Style::new().fg(colour)), area);
}

fn rates(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let block = Block::bordered().title("gets a second");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(7)]);
    let [sums, chart, origins] = rows.areas(inner);
    let rates = view.history.rates().unwrap_or_default();
    let sum = figure("all", &grouped(rates.gets as u64));
    frame.render_widget(Text::from(vec![sum, figure("hit ratio", &percent(rates.hit_ratio))]), sums);
    spark(frame, chart, &view.history.gets, Color::Cyan);
    let by_origin = Origins::NAMES.iter().zip(rates.origins);
    let lines: Vec<_> = by_origin.map(|(name, rate)| figure(name, &grouped(rate.round() as u64))).collect();
    frame.render_widget(Text::from(lines), origins);
}

fn memory(frame: &mut Frame<'_>, area: Rect, view: &View, now: &Snapshot) {
    let block = Block::bordered().title("memory");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows =
        Layout::vertical([Constraint::Length(6), Constraint::Min(1), Constraint::Length(1), Constraint::Length(1)]);
    let [states, chart, in_line, line_chart] = rows.areas(inner);
    let memory = &now.memory;
    let resident = now.resident.map_or_else(|| "-".to_owned(), bytes);
    let lines = [
        figure("outstanding", &bytes(memory.outstanding)),
        figure("in caches", &bytes(memory.in_caches)),
        figure("in depot", &bytes(memory.in_depot)),
        figure("overhead", &bytes(memory.overhead)),
        figure("resident", &resident),
        figure("footprint", &bytes(memory.footprint())),
    ];
    frame.render_widget(Text::from(lines.to_vec()), states);
    spark(frame, chart, &view.history.footprint, Color::Blue);
    frame.render_widget(figure("waiters", &grouped(now.waiters)), in_line);
    spark(frame, line_chart, &view.history.waiters, Color::Magenta);
}

/// A share of so many blocks.
fn gauge(used: u64, limit: u64) -> String {
    let share = if limit == 0 { 0.0 } else { (used as f64 / limit as f64).min(1.0) };
    let full = (share * GAUGE as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(GAUGE - full))
}

/// A box for a list of which so many fit, which its title says where that is not all; and how many fit.
fn listing(name: &str, count: usize, area: Rect, heads: u16) -> (Block<'static>, usize) {
    let shown = count.min(Block::bordered().inner(area).height.saturating_sub(heads) as usize);
    let title = if shown < count { format!("{name}, {shown} of {count}") } else { name.to_owned() };
    (Block::bordered().title(title), shown)
}

fn budgets(frame: &mut Frame<'_>, area: Rect, now: &Snapshot) {
    let (block, shown) = listing("budgets", now.budgets.len(), area, 0);
    let each = now.budgets.iter().take(shown).map(|budget| {
        let share = if budget.limit == 0 { 0.0 } else { 100.0 * budget.used as f64 / budget.limit as f64 };
        let name = Span::raw(format!("{:<8}", budget.name));
        let gauge = Span::styled(gauge(budget.used, budget.limit), Style::new().fg(Color::Yellow));
        Line::from(vec![name, gauge, format!("{share:>4.0} % of {}", Bytes(budget.limit)).into()])
    });
    frame.render_widget(Paragraph::new(each.collect::<Vec<_>>()).block(block), area);
}

fn pools(frame: &mut Frame<'_>, area: Rect, view: &View, now: &Snapshot) {
    let (block, shown) = listing("pools", now.pools.len(), area, 1);
    let each = now.pools.iter().take(shown).map(|pool| {
        let rates = view.history.rates_of(&pool.name).unwrap_or_default();
        let memory = [pool.memory.outstanding, pool.memory.in_caches + pool.memory.in_depot];
        let [out, idle] = memory.map(|bytes| Bytes(bytes).to_string());
        let gets = format!("{:.0}", rates.gets);
        Row::new([pool.name.clone(), gets, percent(rates.hit_ratio), out, idle, pool.waiters.to_string()])
    });
    let widths = [7, 7, 7, 8, 8, 4].map(Constraint::Length);
    let heads = Row::new(["", "gets/s", "hits", "out", "idle", "wait"]).style(faint());
    frame.render_widget(Table::new(each, widths).header(heads).column_spacing(1).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::board::snapshot::{BudgetState, PoolState};

    fn view(snapshots: u64) -> View {
        let mut history = History::default();
        for second in 0..snapshots {
            let origins = Origins { cache: 1_234_000 * second, depot: 66_000 * second, ..Origins::default() };
            let pool = |name: &str| PoolState { name: name.to_owned(), origins, ..PoolState::default() };
            let budget = BudgetState { name: "root".into(), used: 32 << 20, limit: 128 << 20, peak: 0 };
            let snapshot = Snapshot {
                at: second as f64,
                command: "/some/where/lab soak --json \u{1b}[31m".into(),
                phase: "burst".into(),
                resident: Some(77 << 20),
                budgets: vec![budget; 12],
                pools: (0..9).map(|number| pool(&format!("pool{number}"))).collect(),
                origins,
                ..Snapshot::default()
            };
            history.add(snapshot);
        }
        View { history, process: 4711, place: (1, 2), end: None }
    }

    fn shown(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn all_of_it_is_on_a_small_terminal() {
        let text = shown(&view(3), 80, 24);
        for part in [
            "process 4711, 1 of 2: lab soak --json ?[31m",
            "1 300 000",
            "1 234 000",
            "100.0 %",
            "77 MiB",
            "outstanding",
            "waiters",
            "root    ██░░░░  25 % of 128MiB",
            "pool0",
            "pools, 6 of 9",
            "1300000 100.0 %",
            "q: quit  Tab: the next one",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "commands of others do not steer the terminal");
    }

    #[test]
    fn its_end_is_said_with_the_last_state() {
        let text = shown(&View { end: Some("it has ended".into()), ..view(3) }, 80, 24);
        assert!(
            text.contains("ENDED: it has ended; its last state, after 2 s") && text.contains("1 234 000"),
            "{text}"
        );
        let text = shown(&View { end: Some("it has ended".into()), ..view(0) }, 80, 24);
        assert!(text.contains("it has ended; no numbers came"), "{text}");
        assert!(shown(&view(0), 80, 24).contains("no numbers yet"));
    }

    #[test]
    fn no_terminal_is_too_small_or_too_large() {
        for width in [1, 2, 10, 40, 63, 64, 80, 400] {
            for height in [1, 2, 5, 19, 20, 24, 100] {
                for snapshots in [0, 1, 3, 500] {
                    shown(&view(snapshots), width, height);
                }
            }
        }
        let text = shown(&view(3), 40, 12);
        assert!(text.contains("1 300 000 gets/s") && text.contains("77 MiB resident"), "{text}");
    }
}
