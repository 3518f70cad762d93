//! From the report's tables to what the template shows: every number placed and printed here, every text escaped there.

mod arms;
mod attribute_tests;
mod chart;
mod curves;
mod errors;
mod forest;
mod forgetting;
mod gallery;
mod quality;
mod rates;
mod referral;
mod reliability;
mod summary;
mod weak;

use htl_vocabulary::arm::{self, Arm};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use crate::{Dataset, GalleryItem, Report, ReportError, Results};

const TEMPLATE: &str = concat!(
    include_str!("../../templates/marks.html"),
    include_str!("../../templates/report.html")
);
const STYLE: &str = include_str!("../../templates/style.css");

/// The page that a template makes of what it is shown.
pub(crate) fn fill(template: &str, view: impl Serialize) -> Result<String, ReportError> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    // Its name says that what it is shown is escaped as HTML.
    env.add_template("page.html", template)?;
    Ok(env.get_template("page.html")?.render(Serde(view))?)
}

/// The style of every page.
pub(crate) fn style() -> Value {
    Value::from_safe_string(STYLE.to_owned())
}

/// Arms with a colour and mark of their own; others take what is left, in order.
const STYLED_ARMS: [Arm; 6] = [
    arm::BASELINE,
    arm::HTL,
    arm::RANDOM,
    arm::LABELLED_ONLY,
    arm::HTL_QUERY,
    arm::SHAM,
];
const STYLES: usize = 8;

/// What the template sees.
#[derive(Serialize)]
struct Page<'a> {
    style: Value,
    title: &'a str,
    profile: &'a str,
    device: &'a str,
    dataset: &'a Dataset,
    links: [Link; 12],
    summary: summary::Summary,
    arms: Vec<arms::Term>,
    settings: Vec<arms::SettingTable>,
    gains: forest::Forest,
    weak: Vec<weak::WeakTable>,
    curves: Vec<curves::SettingCurves>,
    quality: Vec<quality::Quality>,
    referral: Vec<referral::Referral>,
    failures: Gallery,
    suspects: Gallery,
    reliability: Option<reliability::Table>,
    errors: Option<errors::Errors>,
    forgetting: Vec<forgetting::Forgetting>,
    hardest: Gallery,
    rates: Vec<rates::Rates>,
    tests: Option<attribute_tests::Tests>,
    examples: Gallery,
    notes: &'a [String],
    commands: &'a [String],
    attribution: &'a [String],
    provenance: Vec<Fact<'a>>,
}

/// Cards with pictures, and what their outlines are.
#[derive(Serialize)]
struct Gallery {
    groups: Vec<gallery::Group>,
    outlines: Vec<gallery::Swatch>,
}

impl Gallery {
    fn of(prefix: &str, items: &[GalleryItem]) -> Self {
        Self {
            groups: gallery::view(prefix, items),
            outlines: gallery::outlines(items),
        }
    }
}

/// A heading and the anchor it can be reached by.
#[derive(Serialize)]
struct Link {
    id: &'static str,
    title: &'static str,
}

/// A name with its value.
#[derive(Serialize)]
struct Fact<'a> {
    name: &'a str,
    value: &'a str,
}

/// Index of the colour and mark of an arm, the same in every figure of a page.
fn style_of(results: &Results, arm: &str) -> usize {
    let known = |name: &str| STYLED_ARMS.iter().position(|arm| arm.key == name);
    known(arm).unwrap_or_else(|| {
        let mut others: Vec<&str> = Vec::new();
        for name in results
            .settings
            .values()
            .flat_map(|s| s.arms.keys())
            .map(String::as_str)
        {
            if known(name).is_none() && !others.contains(&name) {
                others.push(name);
            }
        }
        let free = STYLES - STYLED_ARMS.len();
        STYLED_ARMS.len() + others.iter().position(|o| *o == arm).unwrap_or(0) % free
    })
}

pub(crate) fn render(report: &Report) -> Result<String, ReportError> {
    let results = &report.results;
    let links = [
        Link {
            id: "summary",
            title: "Summary",
        },
        Link {
            id: "results",
            title: "Results",
        },
        Link {
            id: "gains",
            title: "Gains",
        },
        Link {
            id: "curves",
            title: "Learning curves",
        },
        Link {
            id: "quality",
            title: "Whom it fails",
        },
        Link {
            id: "failures",
            title: "Failures",
        },
        Link {
            id: "refer",
            title: "Whom to refer",
        },
        Link {
            id: "hard",
            title: "Hard to learn",
        },
        Link {
            id: "who",
            title: "Who is hard",
        },
        Link {
            id: "examples",
            title: "Examples",
        },
        Link {
            id: "limits",
            title: "Limits",
        },
        Link {
            id: "provenance",
            title: "Provenance",
        },
    ];
    let provenance: Vec<Fact> = report
        .provenance
        .iter()
        .map(|(name, value)| Fact { name, value })
        .collect();
    let page = Page {
        style: style(),
        title: &report.title,
        profile: &results.profile,
        device: &results.device,
        dataset: &results.dataset,
        links,
        summary: summary::view(results, &report.quality, &report.rates),
        arms: arms::terms(results),
        settings: arms::view(results),
        gains: forest::view(results),
        weak: weak::view(results),
        curves: curves::view(results, &report.curves),
        quality: quality::view(&report.quality),
        referral: referral::view(&report.referral),
        reliability: reliability::view(&report.reliability),
        failures: Gallery::of("failure", &report.failures),
        suspects: Gallery::of("suspect", &report.suspects),
        errors: report.errors.as_ref().map(errors::view),
        forgetting: forgetting::view(&report.forgetting),
        hardest: Gallery::of("hardest", &report.gallery),
        rates: rates::view(&report.rates),
        tests: attribute_tests::view(&report.tests, &report.regression_tests, &report.coefficients),
        examples: Gallery::of("example", &report.examples),
        notes: &report.notes,
        commands: &report.reproduce,
        attribution: &report.attribution,
        provenance,
    };
    fill(TEMPLATE, page)
}
