use std::collections::BTreeSet;

use htl_vocabulary::campaign::Role;

use super::*;
use crate::plan::{Action, Base, Kind, Stage};

const FILE: &str = r#"
setting = "supervised"
[profile]
base = "tiny"
[screen]
seeds = 2
controls = ["random"]
[confirm]
seeds = 3
best = 1
[[scenario]]
name = "small"
rare = "lowest:area_fraction"
keep = 0.25
[[scenario]]
name = "natural"
[[form]]
name = "rank-7"
[form.train.attention]
dose = "rank"
weight = 7
[[form]]
name = "slow"
[form.train]
learning_rate = 0.001
[[control]]
name = "random"
[control.train.attention]
set = "random"
[[control]]
name = "seeds"
[control.train.attention]
by = "dense_spread"
[[form]]
name = "live"
controls = ["random"]
[form.train.attention]
form = "adaptive"
scores = "$own"
dose = "rank"
[[ceiling]]
name = "parity"
[ceiling.train.attention]
scores = "$planted"
weight = "$parity"
[[reference]]
name = "long"
[reference.train]
image_steps = 1280
"#;

fn read(text: &str) -> Result<Campaign, ExperimentError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, text).unwrap();
    Campaign::read(&path)
}

fn base() -> Base {
    Base {
        data: "/data".into(),
        data_sha256: "data".into(),
        program: "program".into(),
        device: "cpu".into(),
    }
}

fn planned_of(campaign: &Campaign, phase: &Phase) -> CampaignOutline {
    plan_phase(campaign, &campaign.profile().unwrap(), phase, base(), true)
}

fn planned(phase: &Phase) -> CampaignOutline {
    planned_of(&read(FILE).unwrap(), phase)
}

fn arms(outline: &CampaignOutline, scenario: usize) -> Vec<(&str, Role)> {
    let arms = outline.scenarios[scenario].arms.iter();
    arms.map(|arm| (arm.name.as_str(), arm.role)).collect()
}

fn stage<'a>(outline: &'a CampaignOutline, name: &str) -> &'a Stage {
    outline.plan.stage(name).unwrap_or_else(|| panic!("no stage {name}"))
}

fn config(stage: &Stage) -> toml::Table {
    let Action::Htl(call) = &stage.action else {
        panic!("{} calls nothing", stage.name)
    };
    call.draft()
}

/// Every form is screened, with the controls that are asked for and change something that it has; what knows the truth is
/// left out where nothing is planted.
#[test]
fn screening_trains_every_form() {
    let outline = planned(&Phase::Screen);
    let common = [
        ("baseline", Role::Baseline),
        ("rank-7", Role::Form),
        ("rank-7.random", Role::Control),
        ("slow", Role::Form),
        ("live", Role::Form),
        ("live.random", Role::Control),
    ];
    let mut small = common.to_vec();
    small.extend([("parity", Role::Ceiling), ("long", Role::Reference)]);
    assert_eq!(arms(&outline, 0), small);
    let mut natural = common.to_vec();
    natural.push(("long", Role::Reference));
    assert_eq!(arms(&outline, 1), natural);
    assert_eq!(
        outline.scenarios[0].group.as_ref().unwrap().rule,
        "lowest:area_fraction"
    );
    assert!(outline.scenarios[1].group.is_none());
    let arm = |name: &str| outline.scenarios[0].arms.iter().find(|arm| arm.name == name).unwrap();
    assert!(arm("rank-7").mined && arm("rank-7.random").mined && !arm("parity").mined && !arm("baseline").mined);
    assert_eq!((arm("long").image_steps, arm("slow").image_steps), (1280, 640));
    let seeds: Vec<u64> = arm("slow").seeds.iter().map(|seed| seed.seed).collect();
    assert_eq!(seeds, [0, 1]);
}

/// A training is the setting's own with the keys of the form, on the scenario's data and scores; it is tested on one half.
#[test]
fn a_form_changes_its_keys_and_nothing_else() {
    let outline = planned(&Phase::Screen);
    let (plain, form) = (stage(&outline, "small/baseline-0"), stage(&outline, "small/rank-7-0"));
    let (plain, mut form) = (config(plain), config(form));
    let attention = form.remove("attention").unwrap();
    assert_eq!(plain, form);
    assert_eq!(attention["dose"].as_str(), Some("rank"));
    assert_eq!(attention["weight"].as_integer(), Some(7));
    let mine = &stage(&outline, "small/mine").folder;
    assert!(
        attention["scores"].as_str().unwrap().contains(mine.as_str()),
        "{attention}"
    );
    assert!(
        stage(&outline, "small/parity-0")
            .needs
            .contains(&"small/data".to_owned())
    );
    let control = config(stage(&outline, "small/rank-7.random-0"));
    assert_eq!(control["attention"]["set"].as_str(), Some("random"));
    assert_eq!(control["attention"]["dose"].as_str(), Some("rank"));
    let live = config(stage(&outline, "small/live-0"));
    assert!(!live["attention"].as_table().unwrap().contains_key("scores"));
    for half in ["small/slow-0/test", "natural/slow-0/test"] {
        let needs = &stage(&outline, half).needs;
        assert!(needs.iter().any(|need| need.ends_with("/test-halves")), "{needs:?}");
    }
}

/// Confirmation shares no training and no test image with screening, and has every control of the forms that it confirms.
#[test]
fn confirmation_starts_afresh() {
    let best = vec![vec!["rank-7".to_owned()], vec!["slow".to_owned()]];
    let phase = Phase::Confirm(best);
    let (screen, confirm) = (planned(&Phase::Screen), planned(&phase));
    let names: Vec<&str> = arms(&confirm, 0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["baseline", "rank-7", "rank-7.random", "rank-7.seeds", "parity", "long"]
    );
    let names: Vec<&str> = arms(&confirm, 1).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["baseline", "slow", "long"]);
    let folders = |outline: &CampaignOutline, kind: Kind| -> BTreeSet<String> {
        let stages = outline.plan.stages.iter().filter(|stage| stage.kind == kind);
        stages.map(|stage| stage.folder.clone()).collect()
    };
    for kind in [Kind::Train, Kind::Mine, Kind::Evaluate] {
        assert!(folders(&screen, kind).is_disjoint(&folders(&confirm, kind)), "{kind:?}");
    }
    assert_ne!(Phase::Screen.half(), phase.half());
    let seeds: Vec<u64> = confirm.scenarios[0].arms[1]
        .seeds
        .iter()
        .map(|seed| seed.seed)
        .collect();
    assert_eq!(seeds, [2, 3, 4]);
    assert!(confirm.plan.stage("small/baseline-2").is_some() && confirm.plan.stage("small/baseline-0").is_none());
}

/// What makes no sense is refused by its name, before anything runs.
#[test]
fn senseless_files_are_refused() {
    let with = |from: &str, to: &str| read(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
    for (from, to, word) in [
        ("\"supervised\"", "\"supervise\"", "supervise"),
        ("keep = 0.25", "", "`rare` and `keep`"),
        ("keep = 0.25", "keep = 1.5", "found 1.5"),
        ("lowest:area_fraction", "lowest:weight", "lowest:weight"),
        ("$parity", "$pariti", "$pariti"),
        ("name = \"slow\"", "name = \"rank-7\"", "two things are called `rank-7`"),
        ("name = \"slow\"", "name = \"slow one\"", "`slow one` is no name"),
        ("name = \"slow\"", "name = \"baseline\"", "baseline"),
        ("controls = [\"random\"]", "controls = [\"sham\"]", "`sham`"),
        ("seeds = 2", "seeds = 0", "found 0"),
        ("best = 1", "best = 0", "`best`"),
        ("base = \"tiny\"", "base = \"tinier\"", "tinier"),
        ("learning_rate = 0.001", "learning_rate = [1]", "learning_rate"),
        ("dense_spread", "dense_sprea", "`dense_sprea`"),
        ("[confirm]", "[confirmation]", "confirmation"),
        (
            "controls = [\"random\"]\n[form",
            "controls = [\"sham\"]\n[form",
            "`sham`",
        ),
    ] {
        let said = with(from, to);
        assert!(said.contains(word) && said.contains("mine.toml"), "{word}: {said}");
    }
    let said = read("setting = \"supervised\"\n[screen]\nseeds = 1\n")
        .unwrap_err()
        .to_string();
    assert!(said.contains("[[form]]"), "{said}");
}

/// Ceilings of pseudo-masks: those that are truly wrong are left out, or masks are there.
#[test]
fn ceilings_know_masks() {
    let text = r#"
setting = "weakly-supervised-boxes"
[profile]
base = "tiny"
[screen]
seeds = 2
[[form]]
name = "agreed"
[form.train.pseudo]
pixels = "agreed"
[[ceiling]]
name = "right-pixels"
[ceiling.train.pseudo]
maps = "$true-maps"
pixels = "agreed"
[[ceiling]]
name = "right-images"
[ceiling.train.pseudo.leave_out]
scores = "$true-scores"
by = "true_error"
share = 0.3
[[ceiling]]
name = "masks"
[ceiling.train]
setting = "supervised"
"#;
    let campaign = read(text).unwrap();
    let outline = planned_of(&campaign, &Phase::Screen);
    let of = |arm: &str| stage(&outline, &format!("natural/{arm}-0"));
    let truth = "natural/truth".to_owned();
    let pixels = &of("right-pixels").needs;
    assert!(
        pixels.contains(&truth) && !pixels.contains(&"natural/mine".to_owned()),
        "{pixels:?}"
    );
    let images = &of("right-images").needs;
    assert!(
        images.contains(&truth) && images.contains(&"natural/mine".to_owned()),
        "{images:?}"
    );
    let masks = config(of("masks"));
    assert_eq!(masks["setting"].as_str(), Some("supervised"));
    assert!(!masks.contains_key("boxes") && !masks.contains_key("pseudo"), "{masks}");
    let ceilings = outline.scenarios[0].arms.iter().filter(|arm| arm.role == Role::Ceiling);
    assert_eq!(ceilings.map(|arm| arm.mined).collect::<Vec<_>>(), [true, true, false]);

    let said = read(&FILE.replace("image_steps = 1280", "setting = \"nonsense\""))
        .unwrap_err()
        .to_string();
    assert!(said.contains("no setting `nonsense`"), "{said}");
}

/// The campaigns that come with the repository are read, and their first phase is planned.
#[test]
fn own_campaigns_make_sense() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/campaigns");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let campaign = Campaign::read(&path).unwrap();
        let outline = planned_of(&campaign, &Phase::Screen);
        assert_eq!(outline.scenarios.len(), campaign.scenarios().len());
        found += 1;
    }
    assert!(found > 0);
}

/// An arm that buys labels trains on the random list and what is chosen; all arms share the list and the scores, and the
/// baseline buys at random.
#[test]
fn queries_share_their_start() {
    let text = FILE.replace(
        "[[form]]\nname = \"rank-7\"\n[form.train.attention]\ndose = \"rank\"\nweight = 7\n",
        "[[form]]\nname = \"hard\"\n[form.query]\nstrategy = \"top\"\n",
    );
    let text = format!("{text}[baseline.query]\nstart = 10\nbudget = 5\nstrategy = \"random\"\n");
    let text = text.replace(
        "[control.train.attention]\nset = \"random\"",
        "[control.query]\nby = \"sham\"",
    );
    let campaign = read(&text.replacen(
        "[[scenario]]\nname = \"small\"\nrare = \"lowest:area_fraction\"\nkeep = 0.25\n",
        "",
        1,
    ))
    .unwrap();
    let outline = planned_of(&campaign, &Phase::Screen);
    let names: Vec<&str> = arms(&outline, 0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["baseline", "hard", "hard.random", "slow", "live", "live.random", "long"]
    );
    for (arm, strategy) in [("baseline", "random"), ("hard", "top"), ("hard.random", "top")] {
        let choose = stage(&outline, &format!("natural/{arm}-0/choose"));
        assert_eq!(choose.needs, ["natural/start-10/mine"]);
        let Action::Htl(call) = &choose.action else { panic!() };
        let said = format!("{call:?}");
        assert!(said.contains(&format!("\"{strategy}\"")), "{said}");
        assert_eq!(said.contains("--by"), arm == "hard.random", "{said}");
        let labels = &stage(&outline, &format!("natural/{arm}-0/labels")).needs;
        assert!(labels.contains(&"natural/start-10/list".to_owned()), "{labels:?}");
    }
    let mined = |name: &str| {
        outline.scenarios[0]
            .arms
            .iter()
            .find(|arm| arm.name == name)
            .unwrap()
            .mined
    };
    assert!(mined("hard") && !mined("baseline"));
    assert!(
        outline.plan.stage("natural/mine").is_none(),
        "nobody asked for scores of the whole"
    );
    for (from, to, word) in [
        ("strategy = \"top\"", "strategy = \"best\"", "top-fifth"),
        ("by = \"sham\"", "by = \"shame\"", "`shame`"),
    ] {
        let said = read(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    }
    let said = read(&text.replace("budget = 5\n", "")).unwrap_err().to_string();
    assert!(said.contains("[baseline]") && said.contains("`budget`"), "{said}");
}

/// Clusters are made of what the first network sees, a representative start of colours; each is planned once, and what is
/// bought is measured.
#[test]
fn queries_know_what_images_look_like() {
    let text = r#"
setting = "supervised"
[profile]
base = "tiny"
[screen]
seeds = 2
[baseline.query]
start = 10
budget = 5
strategy = "random"
[[form]]
name = "clustered"
[form.query]
by = "forgetting_raw"
strategy = "top"
clusters = 3
[[form]]
name = "represented"
[form.query]
representative = true
clusters = 4
"#;
    let outline = planned_of(&read(text).unwrap(), &Phase::Screen);
    let needs = |name: &str| stage(&outline, name).needs.clone();
    assert_eq!(
        needs("natural/clustered-1/choose"),
        ["natural/start-10/features", "natural/start-10/mine"]
    );
    assert_eq!(
        needs("natural/represented-1/choose"),
        ["natural/representative-10/features", "natural/representative-10/mine"]
    );
    assert_eq!(needs("natural/representative-10/list"), ["natural/colours"]);
    for seed in &outline.scenarios[0].arms[1].seeds {
        let annotation = seed.annotation.as_deref().unwrap();
        let name = format!("natural/clustered-{}/annotation", seed.seed);
        let chosen = format!("natural/clustered-{}/choose", seed.seed);
        assert!(needs(&name).contains(&chosen), "{:?}", needs(&name));
        assert!(annotation.ends_with("annotation.json"), "{annotation}");
    }
    assert!(read(&text.replace("clusters = 3", "clusters = 0")).is_err());
}

/// Forgetting curves are made with what the named scores are read from, and nothing else.
#[test]
fn curves_have_what_scores_need() {
    for (score, curve) in [
        ("dense_spread", "raw"),
        ("forgetting_raw", "raw"),
        ("forgetting", "pruned"),
        ("forgetting_noise_raw", "all"),
    ] {
        let text = FILE.replace("by = \"dense_spread\"", &format!("by = \"{score}\""));
        let campaign = read(&text).unwrap();
        let best = vec![vec!["rank-7".to_owned()]; 2];
        let outline = planned_of(&campaign, &Phase::Confirm(best));
        let Action::Htl(call) = &stage(&outline, "natural/mine").action else {
            panic!()
        };
        let said = format!("{call:?}");
        assert!(
            said.contains(&format!("\"--curve\"), Text(\"{curve}\")")),
            "{score}: {said}"
        );
    }
}

/// A control of a section inside a section is one of forms that have it, and a control may say whose it is.
#[test]
fn controls_are_of_what_they_change() {
    let text = FILE.replace(
        "[[control]]\nname = \"seeds\"\n[control.train.attention]\nby = \"dense_spread\"\n",
        "[[control]]\nname = \"deep\"\n[control.train.attention.params]\nevery = 3\n\
         [[control]]\nname = \"own\"\nof = [\"slow\"]\n[control.train]\nlearning_rate = 0.1\n",
    );
    let text = text.replace("weight = 7\n", "weight = 7\n[form.train.attention.params]\nevery = 2\n");
    let campaign = read(&text).unwrap();
    let outline = planned_of(&campaign, &campaign.everything());
    let names: Vec<&str> = arms(&outline, 1).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "baseline",
            "rank-7",
            "rank-7.random",
            "rank-7.deep",
            "slow",
            "slow.own",
            "live",
            "live.random",
            "long"
        ]
    );
    let said = read(&text.replace("of = [\"slow\"]", "of = [\"fast\"]"))
        .unwrap_err()
        .to_string();
    assert!(said.contains("`fast`"), "{said}");
}
