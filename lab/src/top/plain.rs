//! A line for people without a terminal.

use super::history::History;
use crate::chart::number::{bytes, grouped};

/// How it is now, in one line.
pub fn line(history: &History) -> Option<String> {
    let now = history.now.as_ref()?;
    let rates = history.rates().unwrap_or_default();
    let memory = &now.memory;
    let mut parts = vec![
        format!("{:.0} s", now.at),
        now.phase.clone(),
        format!("{} gets/s", grouped(rates.gets as u64)),
        format!("{} hits", percent(rates.hit_ratio)),
        format!("{} out", bytes(memory.outstanding)),
        format!("{} in caches", bytes(memory.in_caches)),
        format!("{} in depot", bytes(memory.in_depot)),
        format!("{} waiters", now.waiters),
    ];
    parts.extend(now.resident.map(|resident| format!("{} resident", bytes(resident))));
    parts.extend(now.budgets.first().map(|it| format!("budget {} of {}", bytes(it.used), bytes(it.limit))));
    Some(parts.join(", "))
}

pub fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "- %".to_owned(), |ratio| format!("{:.1} %", 100.0 * ratio))
}
