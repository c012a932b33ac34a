//! What a soak prints at its end.

use std::collections::BTreeMap;

use comfy_table::Table;

use super::conduct::Outcome;
use super::starve;
use super::totals::Totals;
use crate::size::Bytes;
use crate::table;

/// Everything that goes to stdout.
pub fn text(outcome: &Outcome) -> String {
    let totals = &outcome.totals;
    let operations = counts(&["operation", "times"], &totals.operations);
    let refusals = counts(&["refused", "times"], &totals.refusals);
    format!("\n{operations}\n\n{refusals}\n\n{}\n{}\n{}\n", failures(totals), checks(totals), memory(totals))
}

fn counts(heads: &[&str], counts: &BTreeMap<String, u64>) -> Table {
    let mut table = table::with_heads(heads);
    for (name, count) in counts {
        table.add_row([name.clone(), count.to_string()]);
    }
    table
}

fn failures(totals: &Totals) -> String {
    let allocations = match starve::CAN {
        true => format!("{} allocations", totals.allocation_failures),
        false => "no allocations (built without the feature `starve`)".to_owned(),
    };
    let Totals { system_failures, create_failures, .. } = totals;
    format!(
        "failed      {system_failures} mappings, {allocations}, the making of {create_failures} values; all on purpose"
    )
}

fn checks(totals: &Totals) -> String {
    format!(
        "checked     {} times, {} of them with nobody inside `wait`: {} comparisons, {:.0?} at most; {} silences, {} of them long",
        totals.checkpoints,
        totals.exact_checkpoints,
        totals.compared,
        totals.longest_pause,
        totals.silences,
        totals.decayed_silences
    )
}

fn memory(totals: &Totals) -> String {
    let figure = |bytes: Option<u64>| bytes.map_or_else(|| table::DASH.to_owned(), |bytes| Bytes(bytes).to_string());
    format!(
        "resident    {} at the start, {} at most, {} at most after a long silence, {} at the end",
        figure(totals.resident_at_start),
        figure(totals.resident_peak),
        figure(totals.resident_in_silences.iter().copied().max()),
        figure(totals.resident_at_end)
    )
}
