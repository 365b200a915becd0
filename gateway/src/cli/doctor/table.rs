//! Findings for people.

use comfy_table::{Table, presets};
use tickgate_host::{Finding, Verdict};

/// A line a check, then what would make each better, each line with its end.
pub(super) fn text(findings: &[Finding], explains_all: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for finding in findings {
        table.add_row([mark(finding.verdict), &finding.name(), &finding.found]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let told = findings
        .iter()
        .filter(|finding| explains_all || finding.verdict != Verdict::Good);
    for finding in told {
        out.push_str(&format!(
            "\n{}: {}\n    wanted: {}\n    why:    {}\n    how:    {}\n",
            finding.name(),
            finding.found,
            finding.wanted,
            finding.why,
            finding.how
        ));
    }
    out.push('\n');
    out
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Costs => "cost",
        Verdict::Fails => "FAIL",
        Verdict::Unseen => "unseen",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_good_is_explained() {
        let finding = |check: &str, verdict| Finding {
            check: check.into(),
            subject: String::new(),
            verdict,
            found: "this".into(),
            wanted: "that".into(),
            why: "since".into(),
            how: "so".into(),
        };
        let findings = [
            finding("swap", Verdict::Good),
            finding("kernel", Verdict::Fails),
        ];
        let said = text(&findings, false);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            lines,
            [
                "ok    swap    this",
                "FAIL  kernel  this",
                "",
                "kernel: this",
                "    wanted: that",
                "    why:    since",
                "    how:    so",
                "",
            ]
        );
        assert_eq!(text(&findings, true).matches("wanted:").count(), 2);
    }
}
