use crate::typo::did_you_mean;

/// Characters of a line that a message repeats of a file of settings.
const MOST_ECHOED: usize = 200;

/// A TOML parser's message for people: with what was probably meant where a key is unknown, and short, whatever the file holds.
pub fn readable(message: &str) -> String {
    let short = shortened(message, MOST_ECHOED);
    match did_you_mean(message) {
        None => short,
        Some(meant) => format!("{}; {}", short.trim_end(), shortened(&meant, MOST_ECHOED)),
    }
}

/// A text for people, of which no line is longer than `most` characters: what a message repeats of a file may be of any
/// length.
pub fn shortened(text: &str, most: usize) -> String {
    let line = |line: &str| match line.char_indices().nth(most) {
        None => line.to_owned(),
        Some((end, _)) => {
            let more = line[end..].chars().count();
            format!("{} [and {more} more characters]", &line[..end])
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// How many problems are written out.
const SHOWN: usize = 20;

/// Problems one a line, the first twenty of them, with their number before.
pub fn one_a_line<T: std::fmt::Display>(problems: &[T]) -> String {
    let mut text = format!("{} problems:", problems.len());
    for problem in problems.iter().take(SHOWN) {
        text.push_str(&format!("\n  {problem}"));
    }
    if problems.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", problems.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_and_others_stay() {
        assert_eq!(shortened("one\ntwo\n", 3), "one\ntwo\n");
        assert_eq!(shortened("äöüß\nx", 3), "äöü [and 1 more characters]\nx");
        assert_eq!(shortened("", 3), "");
    }

    #[test]
    fn messages_say_what_was_meant() {
        let said = "1 | sead = 1\nunknown field `sead`, expected `seed` or `size`\n";
        assert_eq!(readable(said), format!("{}; did you mean `seed`?", said.trim_end()));
        assert_eq!(readable("expected a number\n"), "expected a number\n");
    }
}
