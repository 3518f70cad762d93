//! The tables of the documentation are the registries, and the results in it the committed ones.
//! `UPDATE_TABLES=1 cargo test --workspace --test tables`, which `cargo xtask readme --write` calls, writes them.

use std::fs;

use htl_experiment::design::SETTING_PLANS;
use htl_inference::referral::SIGNALS;
use htl_metrics::METRICS;
use htl_mining::{ATTRIBUTES, Levels, SCORES};
use htl_pruning::{CHANNEL_CRITERIA, CRITERIA};
use htl_tests::{must, root};
use htl_vocabulary::{arm::ARMS, setting::SETTINGS};

/// A table: where it stands, its columns, and the cells of each row.
struct Table {
    file: &'static str,
    columns: &'static [&'static str],
    rows: fn() -> Vec<Vec<String>>,
}

const TABLES: &[Table] = &[
    Table {
        file: "crates/experiment/README.md",
        columns: &["setting", "name", "networks see", "validated by"],
        rows: || {
            let row =
                |s: &htl_vocabulary::Setting| vec![code(s.key), s.label.into(), s.about.into(), s.validated_by.into()];
            SETTINGS.iter().map(row).collect()
        },
    },
    Table {
        file: "crates/experiment/README.md",
        columns: &["arm", "name", "what it does", "settings"],
        rows: arms,
    },
    Table {
        file: "crates/trainers/README.md",
        columns: &["form", "effect"],
        rows: || {
            let forms = htl_trainers::attention_forms();
            forms.map(|(key, about)| vec![code(key), about.into()]).collect()
        },
    },
    Table {
        file: "crates/mining/README.md",
        columns: &["score", "what it measures", "needs"],
        rows: || SCORES.iter().map(score).collect(),
    },
    Table {
        file: "crates/mining/README.md",
        columns: &["attribute", "name", "levels", "column of `per_image.csv`"],
        rows: attributes,
    },
    Table {
        file: "crates/pruning/README.md",
        columns: &["name", "what goes first", "reference"],
        rows: || {
            let row = |c: &&htl_pruning::Criterion| vec![code(c.name), c.about.into(), c.reference.into()];
            CRITERIA.iter().map(row).collect()
        },
    },
    Table {
        file: "crates/pruning/README.md",
        columns: &["name", "which channels go first", "reference"],
        rows: || {
            let row = |c: &&htl_pruning::ChannelCriterion| vec![code(c.name), c.about.into(), c.reference.into()];
            CHANNEL_CRITERIA.iter().map(row).collect()
        },
    },
    Table {
        file: "crates/inference/README.md",
        columns: &["signal", "what it measures", "costs beyond the judged network", "needs"],
        rows: || SIGNALS.iter().map(signal).collect(),
    },
    Table {
        file: "crates/metrics/README.md",
        columns: &["key", "label", "unit", "better", "what it is"],
        rows: || METRICS.iter().map(metric).collect(),
    },
];

fn code(key: &str) -> String {
    format!("`{key}`")
}

fn arms() -> Vec<Vec<String>> {
    let settings = |key: &str| {
        let with = SETTING_PLANS
            .iter()
            .filter(|row| row.arms.iter().any(|plan| plan.arm.key == key));
        with.map(|row| row.setting.key).collect::<Vec<_>>().join(", ")
    };
    let row = |arm: &htl_vocabulary::Arm| vec![code(arm.key), arm.label.into(), arm.about.into(), settings(arm.key)];
    ARMS.iter().map(row).collect()
}

fn score(score: &htl_mining::Score) -> Vec<String> {
    let needs: Vec<&str> = score.needs.iter().map(|need| need.words()).collect();
    vec![code(score.key), score.about.into(), needs.join(", ")]
}

fn signal(signal: &htl_inference::referral::Signal) -> Vec<String> {
    let needs: Vec<&str> = signal.needs.iter().map(|need| need.words()).collect();
    vec![
        code(signal.key),
        signal.about.into(),
        signal.costs.into(),
        needs.join(", "),
    ]
}

fn attributes() -> Vec<Vec<String>> {
    let levels = |levels: &Levels| match levels {
        Levels::Words(_) => "the words of the table".to_owned(),
        Levels::Ordered(names, _) => names.join(", "),
        Levels::Terciles(names, _) => format!("thirds: {}", names.join(", ")),
    };
    let row = |row: &htl_mining::AttributeRow| {
        let column = row.group.map_or_else(String::new, |group| code(group.column));
        vec![code(row.key), row.label.into(), levels(&row.levels), column]
    };
    ATTRIBUTES.iter().map(row).collect()
}

fn metric(metric: &htl_metrics::Metric) -> Vec<String> {
    let better = metric
        .better
        .map_or_else(|| "–".to_owned(), |better| better.to_string());
    vec![
        code(metric.key),
        metric.label.into(),
        metric.unit.to_string(),
        better,
        metric.about.into(),
    ]
}

/// A row in Markdown; a bar inside a cell must be escaped, also in code.
fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!(" {} |", cell.replace('|', "\\|"))).collect();
    format!("|{cells}").replace("|  |", "| |")
}

/// The text with the rows under a table's header replaced; `None` if it has no such header.
fn replaced(text: &str, table: &Table) -> Option<String> {
    let header = line(table.columns.iter().map(|column| (*column).to_owned()));
    let mut lines = text.lines();
    let mut out: Vec<String> = Vec::new();
    loop {
        let next = lines.next()?;
        out.push(next.to_owned());
        if next == header {
            break;
        }
    }
    out.push(lines.next()?.to_owned());
    out.extend((table.rows)().into_iter().map(|cells| line(cells.into_iter())));
    out.extend(lines.skip_while(|line| line.starts_with('|')).map(str::to_owned));
    Some(out.join("\n") + "\n")
}

#[test]
fn tables_are_the_registries() {
    let update = std::env::var_os("UPDATE_TABLES").is_some();
    for table in TABLES {
        let path = root().join(table.file);
        let found = must(fs::read_to_string(&path));
        let Some(expected) = replaced(&found, table) else {
            panic!("{} has no table with the columns {:?}", table.file, table.columns);
        };
        if update {
            must(fs::write(&path, &expected));
        } else {
            let name = table.columns[0];
            assert!(
                found == expected,
                "the table `{name}` in {} is not the registry: run `cargo xtask readme --write`",
                table.file
            );
        }
    }
}

/// Committed results, and where their tables stand.
const RESULTS: [[&str; 2]; 2] = [
    ["tests/baselines/embedded-results.json", "README.md"],
    ["tests/baselines/embedded-pretrained-results.json", "docs/pretrained.md"],
];
const BEGIN: &str = "<!-- results:begin (cargo xtask readme --write) -->";
const END: &str = "<!-- results:end -->";

/// The text with everything between the markers replaced; `None` if it does not have both, in this order.
fn with_results(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[test]
fn results_in_the_documentation_are_the_committed_ones() {
    for [results, file] in RESULTS {
        let path = root().join(file);
        let found = must(fs::read_to_string(&path));
        let committed = must(htl_report::Results::read(&root().join(results)));
        let Some(expected) = with_results(&found, &htl_report::markdown_table(&committed)) else {
            panic!("{file} has no lines `{BEGIN}` and `{END}`");
        };
        if std::env::var_os("UPDATE_TABLES").is_some() {
            must(fs::write(&path, &expected));
        } else {
            assert!(
                found == expected,
                "the results in {file} are not those of {results}: run `cargo xtask readme --write`"
            );
        }
    }
}

#[test]
fn only_what_is_between_the_markers_is_replaced() {
    let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
    let once = with_results(&text, "new\n").unwrap_or_default();
    assert_eq!(once, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
    assert_eq!(with_results(&once, "new\n"), Some(once));
    assert_eq!(with_results("nothing", "new"), None);
    assert_eq!(with_results(&format!("{END}{BEGIN}"), "new"), None);
}

#[test]
fn only_the_rows_of_the_table_are_replaced() {
    let table = Table {
        file: "",
        columns: &["a", "b"],
        rows: || vec![vec!["1".into(), "x|y".into()], vec!["2".into(), String::new()]],
    };
    let text = "| c | b |\n| - | - |\n| 0 | 0 |\n\n| a | b |\n| --- | --- |\n| old | row |\nafter\n";
    let expected = "| c | b |\n| - | - |\n| 0 | 0 |\n\n| a | b |\n| --- | --- |\n| 1 | x\\|y |\n| 2 | |\nafter\n";
    assert_eq!(replaced(text, &table).as_deref(), Some(expected));
    assert_eq!(replaced("| a |\n", &table), None);
}
