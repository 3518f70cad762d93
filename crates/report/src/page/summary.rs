use htl_vocabulary::results::{Gain, PRIMARY_METRIC, Results, comparison_arms, comparison_key};
use serde::Serialize;

use crate::axis::Axis;
use crate::summary::{self, Verdict};
use crate::{QualityTable, RateTable, words};

use super::{quality, rates};

#[derive(Serialize)]
pub(super) struct Summary {
    opening: String,
    settings: Vec<SettingSummary>,
    hard: Vec<String>,
}

#[derive(Serialize)]
struct SettingSummary {
    title: String,
    card: Option<Card>,
    sentences: Vec<String>,
}

/// The setting's main gain at a glance.
#[derive(Serialize)]
struct Card {
    change: String,
    unit: &'static str,
    what: String,
    interval: String,
    verdict: &'static str,
    class: &'static str,
    lo: String,
    hi: String,
    mean: String,
    zero: String,
}

pub(super) fn view(results: &Results, quality: &[QualityTable], tables: &[RateTable]) -> Summary {
    let settings = results.settings.iter().map(|(key, setting)| SettingSummary {
        title: words::setting(key),
        card: card(results, key),
        sentences: summary::sentences(results, key, setting),
    });
    Summary {
        opening: summary::opening(results),
        settings: settings.collect(),
        hard: [quality::sentences(quality), rates::sentences(tables)].concat(),
    }
}

/// The gain that the card shows: the declared comparison, else HTL against baseline, else the first.
fn main_gain<'a>(results: &'a Results, key: &str) -> Option<(&'a str, &'a Gain)> {
    let setting = results.settings.get(key)?;
    let declared = setting.primary.as_ref().and_then(|primary| {
        let (method, control) = (&primary.contrast.method, &primary.contrast.control);
        setting.gain.get_key_value(&comparison_key(method, control))
    });
    let (name, gains) = declared
        .or_else(|| setting.gain.get_key_value(&summary::main_comparison()))
        .or_else(|| setting.gain.first())?;
    Some((name, gains.get(PRIMARY_METRIC)?))
}

fn card(results: &Results, key: &str) -> Option<Card> {
    let (name, gain) = main_gain(results, key)?;
    let setting = results.settings.get(key)?;
    let (a, b) = comparison_arms(name)?;
    let verdict = summary::verdict_of(setting, name, PRIMARY_METRIC, gain);
    // Above the baseline is not yet better: the control decides.
    let control = || summary::control_verdict(setting);
    let (label, class) = match verdict {
        Verdict::Better if name == summary::main_comparison() && control() != Some(Verdict::Better) => {
            ("Not shown above random", Verdict::NotShown.class())
        }
        other => (other.label(), other.class()),
    };
    let all = results
        .settings
        .keys()
        .filter_map(|k| main_gain(results, k))
        .flat_map(|(_, g)| [g.ci95[0], g.ci95[1], g.mean]);
    let axis = Axis::around(all.chain([0.0]), 4);
    let with_mean = |arm: &str| {
        let mean = setting.arms.get(arm).and_then(|arm| arm.mean(PRIMARY_METRIC));
        let known = mean.map(|mean| format!(" ({})", words::value(PRIMARY_METRIC, Some(mean))));
        words::arm_in_sentence(arm) + &known.unwrap_or_default()
    };
    let finite = verdict != Verdict::Undefined;
    let at = |v: f64| if finite { axis.percent(v) } else { axis.percent(0.0) };
    Some(Card {
        change: words::difference(PRIMARY_METRIC, gain.mean),
        unit: words::points(PRIMARY_METRIC),
        what: format!(
            "{}, {} against {}",
            words::metric(PRIMARY_METRIC),
            with_mean(a),
            with_mean(b)
        ),
        interval: format!(
            "95\u{a0}% interval {}, {}",
            words::interval(PRIMARY_METRIC, gain.ci95),
            words::count(summary::seeds_of(setting, name, gain), "seed")
        ),
        verdict: label,
        class,
        lo: at(gain.ci95[0]),
        hi: at(gain.ci95[1]),
        mean: at(gain.mean),
        zero: axis.percent(0.0),
    })
}
