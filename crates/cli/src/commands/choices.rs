//! Values of options that libraries list: their names and help follow from the lists.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use htl_inference::ViewSet;
use htl_inference::referral::{Judged, SIGNALS, Signal, signal_named};
use htl_mining::SCORES;
use htl_pruning::{CHANNEL_CRITERIA, CRITERIA, Criterion};

use super::prune::Method;

/// A score by the name of its column.
pub fn score() -> PossibleValuesParser {
    PossibleValuesParser::new(
        SCORES
            .iter()
            .map(|score| PossibleValue::new(score.key).help(score.about)),
    )
}

/// A pruning method by its name.
pub fn method() -> impl TypedValueParser<Value = Method> {
    let weights = CRITERIA.iter().map(|criterion| (criterion.name, criterion.about));
    let channels = CHANNEL_CRITERIA
        .iter()
        .map(|criterion| (criterion.name, criterion.about));
    let names = weights
        .chain(channels)
        .map(|(name, about)| PossibleValue::new(name).help(about));
    PossibleValuesParser::new(names).try_map(|name| Method::named(&name))
}

/// A method that prunes single weights, by its name.
pub fn criterion() -> impl TypedValueParser<Value = &'static Criterion> {
    let names = CRITERIA
        .iter()
        .map(|criterion| PossibleValue::new(criterion.name).help(criterion.about));
    PossibleValuesParser::new(names).try_map(|name| Criterion::named(&name))
}

/// A signal of uncertainty by its name.
pub fn signal() -> impl TypedValueParser<Value = &'static Signal> {
    let names = SIGNALS
        .iter()
        .map(|signal| PossibleValue::new(signal.key).help(signal.about));
    PossibleValuesParser::new(names).try_map(|name| signal_named(&name).ok_or("unknown signal"))
}

/// Views that are averaged, by the name of their set.
pub fn views() -> impl TypedValueParser<Value = ViewSet> {
    let sets = ViewSet::ALL.into_iter().filter(|set| *set != ViewSet::Plain);
    let names = sets.map(|set| PossibleValue::new(set.key()).help(set.about()));
    PossibleValuesParser::new(names).try_map(|name| ViewSet::named(&name).ok_or("unknown views"))
}

/// The predictor whose errors count, by its name.
pub fn judged() -> impl TypedValueParser<Value = Judged> {
    let names = Judged::ALL.map(|judged| PossibleValue::new(judged.key()).help(judged.about()));
    PossibleValuesParser::new(names).try_map(|name| Judged::named(&name).ok_or("unknown predictor"))
}

/// A list for the end of a help text.
pub fn list<'a>(title: &str, rows: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let rows: String = rows
        .iter()
        .map(|(key, about)| format!("  {key:width$}  {about}\n"))
        .collect();
    format!("{title}\n{rows}\n")
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;
    use crate::commands::{evaluate::Evaluate, mine::Mine, predict::Predict, prune::Prune, refer::Refer};

    fn values(command: Command, option: &str) -> Vec<String> {
        let arguments: Vec<_> = command
            .get_arguments()
            .filter(|argument| argument.get_id() == option)
            .collect();
        let values = arguments.iter().flat_map(|argument| argument.get_possible_values());
        values.map(|value| value.get_name().to_owned()).collect()
    }

    /// Every criterion can be asked for, and no other.
    #[test]
    fn prune_takes_every_criterion() {
        let command = Prune::augment_args(Command::new("prune"));
        let names: Vec<&str> = CRITERIA.iter().map(|criterion| criterion.name).collect();
        let names = [names, CHANNEL_CRITERIA.iter().map(|criterion| criterion.name).collect()].concat();
        assert_eq!(values(command.clone(), "method"), names);
        for name in &names {
            let line = [
                "prune",
                "--checkpoint",
                "a",
                "--sparsity",
                "0.5",
                "--out",
                "b",
                "--method",
                name,
            ];
            let found = command.clone().try_get_matches_from(line).unwrap();
            assert_eq!(
                found.get_one::<Method>("method").map(|method| method.name()),
                Some(*name)
            );
        }
        let help = command.clone().render_long_help().to_string();
        assert!(names.iter().all(|name| help.contains(name)), "{help}");
        let line = [
            "prune",
            "--checkpoint",
            "a",
            "--sparsity",
            "0.5",
            "--out",
            "b",
            "--method",
            "structured-l3",
        ];
        let error = command.clone().try_get_matches_from(line).unwrap_err().to_string();
        assert!(
            error.contains("similar value") && error.contains("'structured-l1'"),
            "{error}"
        );
    }

    #[test]
    fn refer_takes_every_signal_and_predictor() {
        let command = Refer::augment_args(Command::new("refer"));
        let keys: Vec<&str> = SIGNALS.iter().map(|signal| signal.key).collect();
        assert_eq!(values(command.clone(), "by"), keys);
        assert_eq!(values(command, "predictor"), Judged::ALL.map(Judged::key));
    }

    /// The words are the same in the three commands; referral knows no tiles.
    #[test]
    fn predictors_are_asked_for_in_one_way() {
        let commands = [
            Predict::augment_args(Command::new("predict")),
            Evaluate::augment_args(Command::new("evaluate")),
            Refer::augment_args(Command::new("refer")),
        ];
        for command in commands {
            let name = command.get_name().to_owned();
            assert_eq!(values(command.clone(), "views"), ["flips", "symmetries"], "{name}");
            let has = |option: &str| command.get_arguments().any(|argument| argument.get_id() == option);
            assert!(has("largest_component"), "{name}");
            assert_eq!((has("tiles"), has("overlap")), (name != "refer", name != "refer"));
        }
    }

    #[test]
    fn mine_takes_every_score() {
        let command = Mine::augment_args(Command::new("mine"));
        let keys: Vec<&str> = SCORES.iter().map(|score| score.key).collect();
        assert_eq!(values(command, "by"), keys);
    }
}
