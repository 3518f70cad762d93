//! The page as a browser sees it: complete, well formed, self-contained, escaped, and free of numbers that are none.

use htl_metrics::METRICS;
use htl_mining::{ATTRIBUTES, AttributeRow, SCORES};
use htl_report::{
    Arm, CurvePoint, Estimate, Gain, GalleryItem, Metrics, Panel, PerformanceRow, RateRow, RateTable, Report, Setting,
    markdown_table, render,
};
use htl_vocabulary::{arm::ARMS, setting::SETTINGS};
use scraper::{Html, Selector};

mod fixture;

const SECTIONS: [&str; 11] = [
    "summary",
    "results",
    "gains",
    "curves",
    "quality",
    "refer",
    "hard",
    "who",
    "examples",
    "limits",
    "provenance",
];

/// Parses a page, refusing whatever the HTML standard calls a parse error.
fn parse(page: &str) -> Html {
    let html = Html::parse_document(page);
    let errors: Vec<_> = html.errors.iter().collect();
    assert!(errors.is_empty(), "{errors:?}");
    html
}

fn all<'a>(html: &'a Html, selector: &str) -> Vec<scraper::ElementRef<'a>> {
    html.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(html: &Html) -> String {
    all(html, "body")
        .iter()
        .flat_map(|b| b.text())
        .collect::<Vec<_>>()
        .join(" ")
}

fn page(report: &Report) -> (String, Html) {
    let page = render(report).unwrap();
    let html = parse(&page);
    for id in SECTIONS {
        assert_eq!(all(&html, &format!("section#{id} > h2")).len(), 1, "section {id}");
        assert_eq!(all(&html, &format!("nav a[href='#{id}']")).len(), 1, "link to {id}");
    }
    let text = text(&html);
    for word in ["NaN", "nan ", "inf ", "Infinity"] {
        assert!(!text.contains(word), "`{word}` is printed");
    }
    for node in all(&html, "body *").iter().flat_map(|e| e.text()) {
        assert!(
            !["none", "None", "null", "undefined", "true", "false"].contains(&node.trim()),
            "`{node}` is printed"
        );
    }
    assert!(text.contains("For research use, not a medical device"));
    // In attributes too: a figure's coordinates are numbers.
    for element in all(&html, "svg *, [style]") {
        for (name, value) in element.value().attrs() {
            assert!(!value.contains("NaN") && !value.contains("inf"), "{name}={value}");
        }
    }
    (page, html)
}

#[test]
fn a_full_report_has_every_part() {
    let (_, html) = page(&fixture::report());
    let text = text(&html);
    for part in [
        "HTL attention improved test Jaccard by 0.8 points against the baseline (95\u{a0}% interval 0.2 to 1.5, 6 seeds, p\u{a0}= 0.012)",
        "cannot be put down to which samples",
        "3 seeds: descriptive",
        "below Otsu's threshold on darkness",
        "Predictors that learn nothing",
        "Oracle-tuned",
        "Jaccard, HTL images",
        "Lesion size small (26 of 80, 32\u{a0}%)",
        "Supervised: the baseline is furthest below for age 75+",
        "What HTL attention gains over the baseline",
        "cargo xtask reproduce --profile embedded",
        "Declared before the run",
        "Lesion size: small",
        "HTL attention against random attention improves Jaccard on hard to learn (24 images)",
    ] {
        assert!(text.to_lowercase().contains(&part.to_lowercase()), "missing: {part}");
    }
    assert_eq!(all(&html, "table.arms").len(), 4);
    assert_eq!(all(&html, ".forest .line:not(.axis)").len(), 10);
    assert_eq!(all(&html, "table.declared tbody tr").len(), 4);
    assert_eq!(all(&html, "table.weak").len(), 4);
    assert_eq!(all(&html, "table.weak tbody tr").len(), 20);
    assert_eq!(all(&html, "table.worst").len(), 4);
    // Four settings with two figures each, and two of groups that are forgotten.
    assert_eq!(all(&html, "svg.chart").len(), 10);
    assert_eq!(all(&html, "#hard article").len(), 6);
    assert_eq!(all(&html, "#hard img").len(), 12);
    assert_eq!(all(&html, "#failures article").len(), 5);
    // A row per score: as it is, and beyond another.
    let reliability: Vec<String> = all(&html, "#hard tbody tr")
        .into_iter()
        .map(|row| row.text().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(reliability.len(), 3, "{reliability:?}");
    assert!(
        reliability[1].contains("Disagreement") && reliability[1].contains("0.74"),
        "{reliability:?}"
    );
    assert!(reliability[1].contains("−0.04"), "{reliability:?}");
    assert!(reliability[2].contains('–'), "not beyond itself: {reliability:?}");
    assert_eq!(all(&html, "#who .rates .line:not(.axis)").len(), 17);
    assert_eq!(all(&html, "#quality .rates .line:not(.axis)").len(), 10);
    let signals: Vec<String> = all(&html, "#refer table:first-of-type tbody th")
        .iter()
        .map(|cell| cell.text().collect())
        .collect();
    assert_eq!(
        signals[..2],
        ["Forgetting", "Random"],
        "the best first, and what has no value left out"
    );
    assert!(signals.contains(&"All networks with eight views".to_owned()));
    assert_eq!(all(&html, "#quality table.map").len(), 1);
    assert_eq!(all(&html, "#quality td.heat-0").len(), 1);
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    let (page, html) = page(&fixture::report());
    for element in all(&html, "*") {
        let e = element.value();
        for (name, value) in e.attrs() {
            match name {
                "src" => assert!(value.starts_with("data:image/png;base64,"), "{value:.80}"),
                "href" => assert!(value.starts_with('#'), "{value}"),
                "srcset" | "poster" | "data" | "action" | "xlink:href" | "background" => panic!("{name}={value}"),
                _ => assert!(!name.starts_with("on"), "{name}"),
            }
        }
        assert!(
            !["script", "link", "iframe", "object", "embed", "base", "form"].contains(&e.name()),
            "{}",
            e.name()
        );
    }
    assert!(!page.contains("url(") && !page.contains("@import"));
}

#[test]
fn a_reader_without_eyes_or_a_mouse_gets_it_too() {
    let (_, html) = page(&fixture::report());
    for image in all(&html, "img") {
        let alt = image.value().attr("alt").unwrap_or_default();
        assert!(alt.contains(" of ISIC_"), "{alt}");
        assert!(image.value().attr("width").is_some() && image.value().attr("height").is_some());
    }
    for chart in all(&html, "svg") {
        let e = chart.value();
        // Nested drawings belong to a hidden one.
        let words = ["Last mean over seeds", "agreement with the pruned copies"];
        let label = e.attr("aria-label").unwrap_or_default();
        let named = e.attr("role") == Some("img") && words.iter().any(|words| label.contains(words));
        let nested = chart
            .parent()
            .and_then(scraper::ElementRef::wrap)
            .is_some_and(|p| p.value().name() == "svg");
        assert!(named || nested || e.attr("aria-hidden") == Some("true"), "{:?}", e);
    }
    for table in all(&html, "table") {
        let within = |s: &str| table.select(&Selector::parse(s).unwrap()).count();
        assert_eq!(within("caption"), 1);
        assert!(within("th[scope=col]") > 1);
        let scrolls = table
            .parent()
            .and_then(scraper::ElementRef::wrap)
            .and_then(|p| p.value().attr("class"));
        assert_eq!(scrolls, Some("scroll"), "a table must scroll inside its box");
    }
    assert_eq!(all(&html, "h1").len(), 1);
    let ids: Vec<_> = all(&html, "[id]").iter().filter_map(|e| e.value().attr("id")).collect();
    for label in all(&html, "[aria-labelledby]") {
        assert!(ids.contains(&label.value().attr("aria-labelledby").unwrap()));
    }
    assert!(
        ids.iter()
            .all(|id| ids.iter().filter(|other| other == &id).count() == 1),
        "{ids:?}"
    );
}

#[test]
fn names_from_outside_are_text() {
    let evil = "<script>alert(1)</script>\"'&";
    let mut report = fixture::report();
    report.title = evil.to_owned();
    report.notes.push(evil.to_owned());
    report.attribution.push(evil.to_owned());
    report.reproduce.push(evil.to_owned());
    report.provenance.insert(evil.to_owned(), evil.to_owned());
    report.results.dataset.name = evil.to_owned();
    report.results.profile = evil.to_owned();
    let (_, mut setting) = report.results.settings.pop().unwrap();
    let arm = setting.arms.first().unwrap().1.clone();
    setting.arms.insert(evil.to_owned(), arm);
    setting.notes.push(evil.to_owned());
    let gain = setting.gain.first().unwrap().1.clone();
    setting.gain.insert(format!("{evil}-vs-{evil}"), gain);
    report.results.settings.insert(evil.to_owned(), setting);
    report.results.trivial.insert(
        evil.to_owned(),
        Metrics::from([("jaccard".to_owned(), 0.2), (evil.to_owned(), 0.1)]),
    );
    for item in report.gallery.iter_mut().chain(&mut report.examples) {
        item.image_id = format!("{evil} of ISIC_");
        item.caption = evil.to_owned();
        item.scores.insert(evil.to_owned(), 1.0);
        item.setting = evil.to_owned();
        item.panels[0].title = evil.to_owned();
    }
    for point in &mut report.curves {
        point.measure = evil.to_owned();
    }
    report.rates.push(RateTable {
        title: evil.to_owned(),
        note: evil.to_owned(),
        counted: evil.to_owned(),
        rows: vec![RateRow {
            attribute: evil.to_owned(),
            level: evil.to_owned(),
            n: 4,
            htl: 2,
            ..RateRow::default()
        }],
    });
    report.quality[0].rows.push(PerformanceRow {
        arm: evil.to_owned(),
        metric: "jaccard".to_owned(),
        attribute: evil.to_owned(),
        level: evil.to_owned(),
        n: 30,
        value: Some(f64::NAN),
        p_adjusted: Some(0.01),
        gap: Some(-0.2),
        ..PerformanceRow::default()
    });
    let (page, html) = page(&report);
    assert!(!page.contains("<script"));
    assert!(all(&html, "script").is_empty());
    assert!(text(&html).contains(evil), "the text itself is shown");
}

/// The page answers whom it fails: by group along the curve, by attribute, by image.
#[test]
fn failures_and_analysis_are_shown() {
    let (_, html) = page(&fixture::report());
    let said = text(&html);
    for words in [
        "Who is forgotten first?",
        "Sex: agreement with the pruned copies",
        "female (120)",
        "Are hard images localized badly?",
        "correlation of score and error: 0.57",
        "hard or not, any difference",
        "People or lesions?",
        "Lesion size",
        "Suspected label errors",
        "pruned copies found nothing",
        "no skin type",
    ] {
        let labels: String = all(&html, "[aria-label]")
            .iter()
            .filter_map(|e| e.attr("aria-label"))
            .collect();
        assert!(
            said.contains(words) || labels.contains(words),
            "`{words}` is not on the page"
        );
    }
    // A level of eight images has no curve.
    assert!(!said.contains("unknown (8)"));
}

/// A picture is enlarged and left again without a script: every link leads somewhere on the page, and no anchor is there twice.
#[test]
fn links_lead_to_anchors() {
    let (_, html) = page(&fixture::report());
    let ids: Vec<&str> = all(&html, "[id]").iter().filter_map(|e| e.attr("id")).collect();
    let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    let links = all(&html, "a[href]");
    assert!(links.iter().any(|link| link.attr("class") == Some("enlarge")));
    for link in links {
        let target = link.attr("href").unwrap().trim_start_matches('#');
        assert!(ids.contains(&target), "#{target}");
    }
}

#[test]
fn an_empty_report_says_what_is_missing() {
    let (_, html) = page(&Report::default());
    let text = text(&html);
    for part in [
        "No setting was run",
        "No paired gain",
        "No training history",
        "Quality by group was not analysed",
        "No gallery",
        "No demographic table",
        "No example",
        "No test image",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn numbers_that_are_none_become_dashes() {
    let nan = f64::NAN;
    let mut report = fixture::report();
    for setting in report.results.settings.values_mut() {
        setting.sparsity = Some(nan);
        for seed in setting.arms.values_mut().flat_map(|a| &mut a.seeds) {
            seed.test.values_mut().for_each(|v| *v = nan);
        }
        for gain in setting.gain.values_mut().flat_map(|g| g.values_mut()) {
            *gain = Gain::new(nan, [f64::NEG_INFINITY, f64::INFINITY], Some(nan), 8);
        }
    }
    report
        .results
        .trivial
        .values_mut()
        .flat_map(|m| m.values_mut())
        .for_each(|v| *v = f64::INFINITY);
    report.curves = vec![CurvePoint {
        train_loss: Some(nan),
        validation: Some(f64::INFINITY),
        ..CurvePoint::default()
    }];
    let estimate = |value| {
        Some(Estimate {
            value,
            lo: nan,
            hi: nan,
        })
    };
    report.rates[0].rows = vec![RateRow {
        attribute: "sex".to_owned(),
        level: "x".to_owned(),
        rate: estimate(nan),
        rate_ratio: estimate(f64::INFINITY),
        p_adjusted: Some(nan),
        ..RateRow::default()
    }];
    report.gallery[0].scores.insert("score".to_owned(), nan);
    page(&report);
}

#[test]
fn odd_shapes_are_drawn() {
    let one = |v: f64| Metrics::from([("jaccard".to_owned(), v)]);
    let mut report = Report {
        title: "Odd".to_owned(),
        ..Report::default()
    };
    report.results.settings.insert("no arms".to_owned(), Setting::default());
    let arms = (0..11)
        .map(|i| (format!("arm {i}"), Arm::new([(0, one(0.5))])))
        .collect();
    report.results.settings.insert(
        "many".to_owned(),
        Setting {
            arms,
            ..Setting::default()
        },
    );
    // One point, a long noisy line, a setting without results.
    report.curves.push(CurvePoint {
        setting: "many".into(),
        arm: "arm 0".into(),
        train_loss: Some(0.4),
        ..CurvePoint::default()
    });
    report.curves.extend((0..10_000).map(|step| CurvePoint {
        setting: "elsewhere".into(),
        arm: "x".into(),
        step,
        train_loss: Some(1.0 / (1.0 + step as f64)),
        ..CurvePoint::default()
    }));
    report.gallery.push(GalleryItem {
        image_id: "no panels".into(),
        ..GalleryItem::default()
    });
    report.gallery.push(GalleryItem {
        image_id: "not a png".into(),
        panels: vec![Panel {
            title: "x".into(),
            png: vec![1, 2, 3],
            outlines: Vec::new(),
        }],
        ..GalleryItem::default()
    });
    let (page, html) = page(&report);
    assert!(page.len() < 120_000, "long histories are thinned: {} bytes", page.len());
    assert_eq!(all(&html, "svg.chart").len(), 2);
    assert_eq!(
        all(&html, "path.dot").len(),
        1,
        "a single point is a dot, not a line of no length"
    );
}

/// Golden: the README's tables of the made-up results. `UPDATE_GOLDEN=1 cargo test -p htl-report` writes them anew.
#[test]
fn the_markdown_tables_are_as_committed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture/table.md");
    let tables = markdown_table(&fixture::results());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &tables).unwrap();
    }
    assert_eq!(tables, std::fs::read_to_string(path).unwrap());
    let (arms, gains) = tables.split_once("\n\n").unwrap();
    for (table, columns) in [(arms, 6), (gains, 4)] {
        let bars = table.lines().map(|line| line.matches('|').count());
        assert!(bars.into_iter().all(|n| n == columns + 1), "{table}");
    }
    assert!(arms.contains("| Supervised | all masks | Baseline | 0.79"), "{arms}");
    assert!(arms.contains("| Learns nothing |  | Whole image | 0.271 |"), "{arms}");
    assert!(
        gains.contains("| Supervised | HTL attention against the baseline | +0.8 | 0.2 to 1.5 |"),
        "{gains}"
    );
    assert!(gains.contains(" (descriptive) |"), "{gains}");
}

#[test]
fn the_same_report_gives_the_same_page() {
    assert_eq!(render(&fixture::report()).unwrap(), render(&fixture::report()).unwrap());
}

/// A row of a registry is all that the page needs: whatever `results.json`, `demographics.csv` and a score table name by its
/// key is shown by its label, and `results.json` keeps the key.
#[test]
fn every_row_of_the_registries_is_shown_by_its_label() {
    let metrics: Metrics = METRICS.iter().map(|metric| (metric.key.to_owned(), 0.5)).collect();
    let arms = || {
        let arm = |arm: &htl_vocabulary::Arm| (arm.key.to_owned(), Arm::new([(0, metrics.clone())]));
        ARMS.iter().map(arm).collect()
    };
    let setting = |setting: &htl_vocabulary::Setting| {
        let results = Setting {
            description: Some(setting.about.to_owned()),
            arms: arms(),
            ..Setting::default()
        };
        (setting.key.to_owned(), results)
    };
    let level = |attribute: &AttributeRow| RateRow {
        attribute: attribute.key.to_owned(),
        level: "any".to_owned(),
        n: 20,
        htl: 5,
        rate: None,
        rate_ratio: None,
        odds_ratio: None,
        p: None,
        p_adjusted: None,
        ..RateRow::default()
    };
    let mut report = Report {
        rates: vec![RateTable {
            title: "Who".to_owned(),
            note: String::new(),
            counted: "hard images".to_owned(),
            rows: ATTRIBUTES.iter().map(level).collect(),
        }],
        gallery: vec![GalleryItem {
            image_id: "a".to_owned(),
            scores: SCORES.iter().map(|score| (score.key.to_owned(), 0.5)).collect(),
            ..GalleryItem::default()
        }],
        ..Report::default()
    };
    report.results.settings = SETTINGS.iter().map(setting).collect();
    let (_, html) = page(&report);
    let text = text(&html);
    let labels = (SETTINGS.iter().flat_map(|row| [row.label, row.about]))
        .chain(ARMS.iter().flat_map(|row| [row.label, row.about]))
        .chain(METRICS.iter().map(|row| row.label))
        .chain(ATTRIBUTES.iter().map(|row| row.label))
        .chain(SCORES.iter().map(|row| row.label));
    for label in labels {
        assert!(text.contains(label), "`{label}` is not on the page");
    }
    let json = serde_json::to_value(&report.results).unwrap();
    for (setting, arm, metric) in SETTINGS.iter().flat_map(|s| {
        ARMS.iter()
            .flat_map(move |a| METRICS.iter().map(move |m| (s.key, a.key, m.key)))
    }) {
        let found = &json["settings"][setting]["arms"][arm]["seeds"][0]["test"][metric];
        assert_eq!(*found, 0.5, "{setting} {arm} {metric}");
    }
}
