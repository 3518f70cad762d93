/// How alike two names must be for one to be a slip of the other, in [0, 1].
const ALIKE: f64 = 0.8;

/// What was probably meant, as a sentence, of a message of serde's that names an unknown key or word and lists those it knows:
/// ``unknown field `sead`, expected one of `seed`, `size` ``. `None` if nothing listed is like it.
pub(crate) fn did_you_mean(message: &str) -> Option<String> {
    let unknown = message
        .find("unknown field `")
        .or_else(|| message.find("unknown variant `"))?;
    // What stands between backticks.
    let mut names = message[unknown..].split('`').skip(1).step_by(2);
    let given = names.next()?;
    nearest(given, names).map(|nearest| format!("did you mean `{nearest}`?"))
}

/// The known name that is most like the given one, if one is so like it that the other may be a slip.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(given, name);
    let nearest = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(nearest) >= ALIKE).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant() {
        let said = |given: &str| {
            did_you_mean(&format!(
                "TOML parse error at line 1\n  |\nunknown field `{given}`, expected one of `seed`, `image_steps`, `learning_rate`"
            ))
        };
        for (given, meant) in [
            ("sead", "seed"),
            ("imagesteps", "image_steps"),
            ("learningrate", "learning_rate"),
            ("learning-rate", "learning_rate"),
        ] {
            assert_eq!(said(given).unwrap(), format!("did you mean `{meant}`?"), "{given}");
        }
        assert_eq!(said("colour"), None);
        assert_eq!(did_you_mean("unknown field `a`"), None);
        assert_eq!(did_you_mean("invalid type: string"), None);
    }
}
