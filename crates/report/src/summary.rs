//! What the numbers say, in sentences that claim no more than the intervals support.

use htl_metrics::{Better, Metric};
use htl_vocabulary::arm;
use htl_vocabulary::results::{
    Arm, Gain, PRIMARY_METRIC, PrimaryGain, Results, Setting, comparison_arms, comparison_key,
};
use indexmap::IndexMap;

use crate::{weak, words};

/// Arms that are compared with the main one by their means where no paired gain was computed.
const REFERENCES: [arm::Arm; 3] = [arm::LABELLED_ONLY, arm::FILLED_BOX, arm::ELLIPSE];

/// What a gain and its interval allow one to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Tested, and the whole interval on the good side.
    Better,
    /// Tested, and the whole interval on the bad side.
    Worse,
    /// Tested, and the interval includes zero.
    NotShown,
    /// Too few seeds for a test.
    Descriptive,
    /// Tested, but a metric of which neither more nor less is good, or none that is known.
    NoDirection,
    /// No finite number.
    Undefined,
}

impl Verdict {
    pub fn of(metric: &str, gain: &Gain) -> Self {
        let [lo, hi] = gain.ci95;
        if ![gain.mean, lo, hi].iter().all(|v| v.is_finite()) {
            return Self::Undefined;
        }
        let Some(p) = gain.p.filter(|p| p.is_finite()) else {
            return Self::Descriptive;
        };
        if gain.seeds.is_some_and(|n| n < Gain::SEEDS_FOR_A_TEST) || gain.note.as_deref() == Some("descriptive") {
            return Self::Descriptive;
        }
        let (good, bad) = match Metric::named(metric).and_then(|metric| metric.better) {
            Some(Better::Higher) => (lo > 0.0, hi < 0.0),
            Some(Better::Lower) => (hi < 0.0, lo > 0.0),
            None => return Self::NoDirection,
        };
        match (good, bad) {
            (true, _) if p < 0.05 => Self::Better,
            (_, true) if p < 0.05 => Self::Worse,
            _ => Self::NotShown,
        }
    }

    /// Two or three words for a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Better => "Better",
            Self::Worse => "Worse",
            Self::NotShown => "No difference shown",
            Self::Descriptive => "Descriptive only",
            Self::NoDirection => "Neither good nor bad",
            Self::Undefined => "Not measured",
        }
    }

    /// Style class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Better => "good",
            Self::Worse => "bad",
            _ => "open",
        }
    }
}

/// The declared comparison of a setting, if it is this one.
pub(crate) fn primary<'a>(setting: &'a Setting, pair: &str, metric: &str) -> Option<&'a PrimaryGain> {
    setting.primary.as_ref().filter(|primary| {
        let contrast = &primary.contrast;
        contrast.metric == metric && comparison_key(&contrast.method, &contrast.control) == pair
    })
}

/// What a gain of a setting allows one to say: of the declared comparison once its p is adjusted over the settings.
pub(crate) fn verdict_of(setting: &Setting, pair: &str, metric: &str, gain: &Gain) -> Verdict {
    weak::verdict(
        metric,
        gain,
        primary(setting, pair, metric).and_then(|primary| primary.p_holm),
    )
}

/// Arms in the order of the registry; others follow as they come.
pub(crate) fn arms_in_order(arms: &IndexMap<String, Arm>) -> impl Iterator<Item = (&str, &Arm)> {
    let mut all: Vec<_> = arms.iter().map(|(name, arm)| (name.as_str(), arm)).collect();
    all.sort_by_key(|(name, _)| arm::position(name));
    all.into_iter()
}

/// Seeds behind a gain: as stated, else the fewer of the two arms.
pub(crate) fn seeds_of(setting: &Setting, key: &str, gain: &Gain) -> usize {
    gain.seeds.unwrap_or_else(|| {
        let count = |arm: &str| setting.arms.get(arm).map_or(0, |a| a.seeds.len());
        comparison_arms(key).map_or(0, |(a, b)| count(a).min(count(b)))
    })
}

/// One sentence on what was run.
pub(crate) fn opening(results: &Results) -> String {
    let d = &results.dataset;
    let arms = || results.settings.values().flat_map(|s| s.arms.values());
    let seeds = || arms().map(|a| a.seeds.len());
    let trained = match (seeds().min().unwrap_or(0), seeds().max().unwrap_or(0)) {
        (_, 0) => "without a result".to_owned(),
        (lo, hi) if lo == hi => format!("each with {}", words::count(hi, "seed")),
        (lo, hi) => format!("each with {lo} to {hi} seeds"),
    };
    let arms = arms().count();
    if arms == 0 {
        return "No arm has a result.".to_owned();
    }
    format!(
        "{} {} in {} {}, {trained}, on {}: {} training, {} validation and {} test images. All figures are test results, per \
         image and averaged, unless a line says otherwise.",
        words::capital(&spelt(arms)),
        if arms == 1 { "arm" } else { "arms" },
        spelt(results.settings.len()),
        if results.settings.len() == 1 {
            "setting"
        } else {
            "settings"
        },
        if d.name.is_empty() { "the data" } else { &d.name },
        d.train,
        d.val,
        d.test
    )
}

fn spelt(n: usize) -> String {
    const SMALL: [&str; 13] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    ];
    SMALL.get(n).map_or_else(|| n.to_string(), |s| (*s).to_owned())
}

/// What one setting's numbers say about the primary metric.
pub(crate) fn sentences(results: &Results, key: &str, setting: &Setting) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(against_nothing(results, setting));
    for (pair_key, gains) in &setting.gain {
        if let (Some(pair), Some(gain)) = (comparison_arms(pair_key), gains.get(PRIMARY_METRIC)) {
            let adjusted = primary(setting, pair_key, PRIMARY_METRIC)
                .and_then(|primary| Some((primary.p_holm?, primary.settings)));
            said.push(gain_sentence(
                pair,
                PRIMARY_METRIC,
                gain,
                seeds_of(setting, pair_key, gain),
                adjusted,
            ));
        }
    }
    for reference in REFERENCES {
        said.extend(against_reference(setting, reference.key));
    }
    said.extend(setting.weak.iter().flat_map(weak::sentences));
    said.extend(conclusion(setting));
    if said.is_empty() {
        said.push(format!("No arm of the setting “{key}” has a test result."));
    }
    said
}

/// The arm others are compared with: the baseline, else the first.
pub(crate) fn main_arm(setting: &Setting) -> Option<(&str, f64)> {
    let named = setting
        .arms
        .get_key_value(arm::BASELINE.key)
        .or_else(|| setting.arms.first());
    named.and_then(|(name, arm)| Some((name.as_str(), arm.mean(PRIMARY_METRIC)?)))
}

fn against_nothing(results: &Results, setting: &Setting) -> Option<String> {
    let (arm, mean) = main_arm(setting)?;
    let seeds = words::count(setting.arms.get(arm)?.values(PRIMARY_METRIC).count(), "seed");
    let of = if seeds.starts_with("1 ") {
        seeds
    } else {
        format!("mean of {seeds}")
    };
    let start = format!(
        "{} reaches Jaccard {} ({of})",
        words::capital(&words::arm_in_sentence(arm)),
        words::value(PRIMARY_METRIC, Some(mean))
    );
    let best = results
        .trivial
        .iter()
        .filter_map(|(name, metrics)| Some((name, *metrics.get(PRIMARY_METRIC)?)))
        .filter(|(_, v)| v.is_finite())
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((name, value)) = best else {
        return Some(format!("{start}."));
    };
    let gap = words::difference(PRIMARY_METRIC, (mean - value).abs());
    let gap = gap.trim_start_matches('+');
    let side = if mean > value { "above" } else { "below" };
    let mut text = format!(
        "{start}, {gap} points {side} {} ({}), the best predictor that learns nothing.",
        words::trivial_in_sentence(name),
        words::value(PRIMARY_METRIC, Some(value))
    );
    if mean <= value {
        text.push_str(" What was learnt here does not reach what needs no learning.");
    }
    Some(text)
}

/// `adjusted`: p after Holm's adjustment, and over how many settings, of the declared comparison.
fn gain_sentence(
    (a, b): (&str, &str),
    metric: &str,
    gain: &Gain,
    seeds: usize,
    adjusted: Option<(f64, usize)>,
) -> String {
    let (a, b) = (words::capital(&words::arm_in_sentence(a)), words::arm_in_sentence(b));
    let name = words::metric_in_sentence(metric);
    let verdict = weak::verdict(metric, gain, adjusted.map(|(p, _)| p));
    let p = match adjusted {
        Some((adjusted, settings)) if settings > 1 => format!(
            "{}, adjusted over {settings} settings {}",
            p_text(gain.p),
            words::p(Some(adjusted))
        ),
        _ => p_text(gain.p),
    };
    let change = words::difference(metric, gain.mean);
    let interval = words::interval(metric, gain.ci95);
    let unit = words::points(metric);
    let seeds = if seeds == 0 {
        String::new()
    } else {
        format!(", {}", words::count(seeds, "seed"))
    };
    match verdict {
        Verdict::Undefined => format!("{a} against {b}: no difference in test {name} could be computed."),
        Verdict::Descriptive => {
            format!(
                "{a} changed test {name} by {change}{unit} against {b} (95\u{a0}% interval {interval}{seeds}: descriptive)."
            )
        }
        Verdict::NoDirection => format!(
            "{a} changed test {name} by {change}{unit} against {b} (95\u{a0}% interval {interval}{seeds}, {}).",
            p
        ),
        Verdict::NotShown => format!(
            "{a} changed test {name} by {change}{unit} against {b} (95\u{a0}% interval {interval}{seeds}, {}): no \
             difference is shown.",
            p
        ),
        Verdict::Better | Verdict::Worse => {
            let verb = if verdict == Verdict::Better {
                "improved"
            } else {
                "worsened"
            };
            let change = change.trim_start_matches(['+', '−']);
            format!(
                "{a} {verb} test {name} by {change}{unit} against {b} (95\u{a0}% interval {interval}{seeds}, {}).",
                p
            )
        }
    }
}

fn p_text(p: Option<f64>) -> String {
    let text = words::p(p);
    text.strip_prefix('<')
        .map_or_else(|| format!("p\u{a0}= {text}"), |bound| format!("p\u{a0}< {bound}"))
}

/// Means compared where no paired gain was computed.
fn against_reference(setting: &Setting, reference: &str) -> Option<String> {
    let (arm, mean) = main_arm(setting)?;
    let other = setting.arms.get(reference)?.mean(PRIMARY_METRIC)?;
    let paired = setting.gain.contains_key(&comparison_key(arm, reference));
    if paired || arm == reference {
        return None;
    }
    let (gap, side) = ((mean - other).abs(), if mean > other { "above" } else { "not above" });
    let gap = words::difference(PRIMARY_METRIC, gap);
    Some(format!(
        "The mean of {} is {side} that of {} ({} against {}, {} points apart; no interval was computed).",
        words::arm_in_sentence(arm),
        words::arm_in_sentence(reference),
        words::value(PRIMARY_METRIC, Some(mean)),
        words::value(PRIMARY_METRIC, Some(other)),
        gap.trim_start_matches('+')
    ))
}

/// The comparison that the experiment is about: the method against the baseline.
pub(crate) fn main_comparison() -> String {
    comparison_key(arm::HTL.key, arm::BASELINE.key)
}

/// What the method's gain over random attention allows one to say, where it was computed.
pub(crate) fn control_verdict(setting: &Setting) -> Option<Verdict> {
    verdict(setting, &comparison_key(arm::HTL.key, arm::RANDOM.key))
}

fn verdict(setting: &Setting, comparison: &str) -> Option<Verdict> {
    let gain = setting.gain.get(comparison)?.get(PRIMARY_METRIC)?;
    Some(verdict_of(setting, comparison, PRIMARY_METRIC, gain))
}

/// What may be said about attending to hard-to-learn samples: a gain counts only above baseline and control alike.
fn conclusion(setting: &Setting) -> Option<String> {
    let (baseline, random) = (verdict(setting, &main_comparison())?, control_verdict(setting));
    let text = match (baseline, random) {
        (Verdict::Undefined, _) => return None,
        (Verdict::Descriptive, _) | (_, Some(Verdict::Descriptive)) => {
            "With fewer than five seeds these intervals describe this run and support no claim."
        }
        (Verdict::Better, Some(Verdict::Better)) => {
            "Attention to hard-to-learn samples helped here: above the baseline and above random attention alike."
        }
        (Verdict::Better, _) => {
            "Above the baseline but not shown to be above random attention, so the gain cannot be put down to which samples \
             were attended to."
        }
        (Verdict::Worse, _) => "Attention to hard-to-learn samples hurt here.",
        _ => "This run does not show that attention to hard-to-learn samples helps here.",
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use htl_vocabulary::results::Metrics;

    fn setting(vs_baseline: Gain, vs_random: Gain) -> Setting {
        let arm = |v: f64| Arm::new((0..3).map(|s| (s, Metrics::from([("jaccard".to_owned(), v)]))));
        let of = |g: Gain| IndexMap::from([("jaccard".to_owned(), g)]);
        Setting {
            arms: [("baseline", 0.79), ("htl", 0.80), ("random", 0.79)]
                .map(|(n, v)| (n.to_owned(), arm(v)))
                .into(),
            gain: [
                ("htl-vs-baseline".to_owned(), of(vs_baseline)),
                ("htl-vs-random".to_owned(), of(vs_random)),
            ]
            .into(),
            ..Setting::default()
        }
    }

    fn text(setting: &Setting) -> String {
        sentences(&Results::default(), "supervised", setting).join(" ")
    }

    #[test]
    fn three_seeds_are_described_and_never_called_a_win() {
        let gain = Gain::new(0.018, [0.006, 0.03], Some(0.001), 3);
        let text = text(&setting(gain.clone(), gain));
        assert!(
            text.contains("HTL attention changed test Jaccard by +1.8 points against the baseline"),
            "{text}"
        );
        assert!(text.contains("interval 0.6 to 3.0, 3 seeds: descriptive"), "{text}");
        for claim in ["improved", "helped", "better", "p\u{a0}"] {
            assert!(!text.contains(claim), "{claim}: {text}");
        }
    }

    #[test]
    fn a_win_needs_the_interval_and_the_control() {
        let win = Gain::new(0.018, [0.006, 0.03], Some(0.0004), 8);
        let open = Gain::new(0.004, [-0.008, 0.015], Some(0.5), 8);
        let loss = Gain::new(-0.018, [-0.03, -0.006], Some(0.002), 8);
        let both = text(&setting(win.clone(), win.clone()));
        assert!(
            both.contains("improved test Jaccard by 1.8 points") && both.contains("p\u{a0}< 0.001"),
            "{both}"
        );
        assert!(both.contains("helped here"), "{both}");
        let uncontrolled = text(&setting(win.clone(), open.clone()));
        assert!(
            uncontrolled.contains("cannot be put down to") && !uncontrolled.contains("helped"),
            "{uncontrolled}"
        );
        let unclear = text(&setting(open.clone(), win.clone()));
        assert!(
            unclear.contains("no difference is shown") && unclear.contains("does not show"),
            "{unclear}"
        );
        assert!(text(&setting(loss, open)).contains("hurt here"));
    }

    #[test]
    fn a_low_distance_is_the_good_side() {
        let gain = Gain::new(-2.0, [-3.0, -1.0], Some(0.01), 6);
        for distance in ["hd95", "surface_distance"] {
            assert_eq!(Verdict::of(distance, &gain), Verdict::Better);
        }
        assert_eq!(Verdict::of("map_quantile", &gain), Verdict::NoDirection);
        assert_eq!(Verdict::of("jaccard", &gain), Verdict::Worse);
        let p_disagrees = Gain::new(2.0, [1.0, 3.0], Some(0.2), 6);
        assert_eq!(Verdict::of("jaccard", &p_disagrees), Verdict::NotShown);
    }

    #[test]
    fn a_learner_below_otsu_is_said_to_be() {
        let open = Gain::new(0.004, [-0.008, 0.015], None, 3);
        let results = Results {
            trivial: [("otsu".to_owned(), Metrics::from([("jaccard".to_owned(), 0.85)]))].into(),
            ..Results::default()
        };
        let text = sentences(&results, "x", &setting(open.clone(), open)).join(" ");
        assert!(
            text.contains("6.0 points below Otsu's threshold") && text.contains("does not reach"),
            "{text}"
        );
    }

    #[test]
    fn undefined_numbers_are_not_printed() {
        let nan = Gain::new(f64::NAN, [f64::NAN, f64::NAN], None, 3);
        let text = text(&setting(nan.clone(), nan));
        assert!(!text.contains("NaN") && text.contains("could be computed"), "{text}");
    }
}
