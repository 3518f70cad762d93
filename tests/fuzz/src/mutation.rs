use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A change of a file's bytes, at a position that is counted on from the beginning again where the file ends.
#[derive(Debug, Clone)]
pub enum Mutation {
    /// A bit is turned.
    Flip(usize, u8),
    /// All from here on is gone.
    Cut(usize),
    /// Some bytes are gone.
    Remove(usize, usize),
    /// Some bytes more.
    Insert(usize, Vec<u8>),
    /// Some bytes again and again.
    Repeat(usize, usize, usize),
    /// A number or word of a text becomes another.
    Word(usize, &'static str),
    /// Four bytes become a number that claims much.
    Claim(usize, u32),
}

/// What numbers and words of texts become.
const WORDS: [&str; 22] = [
    "",
    "nan",
    "-inf",
    "1e308",
    "-1",
    "0",
    "57",
    "18446744073709551615",
    "-9223372036854775808",
    "1e-320",
    "0x10",
    "\"",
    "\n",
    "\r\n",
    ",",
    ";",
    "\u{feff}",
    "=1+1",
    "../../../etc/passwd",
    "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "\u{e9}\u{301}",
];

/// One to a few changes.
pub fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let change = prop_oneof![
        3 => (any::<usize>(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        1 => any::<usize>().prop_map(Mutation::Cut),
        1 => (any::<usize>(), 1usize..64).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (any::<usize>(), vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (any::<usize>(), 1usize..64, 1usize..200).prop_map(|(at, count, times)| Mutation::Repeat(at, count, times)),
        4 => (any::<usize>(), select(&WORDS[..])).prop_map(|(at, word)| Mutation::Word(at, word)),
        2 => (any::<usize>(), select(vec![0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xffff, 0x0001_0000]))
            .prop_map(|(at, number)| Mutation::Claim(at, number)),
    ];
    vec(change, 1..6)
}

/// A file with changes, one after another.
pub fn mutated(sound: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    mutations.iter().fold(sound.to_vec(), changed)
}

fn changed(mut bytes: Vec<u8>, mutation: &Mutation) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let length = bytes.len();
    match mutation {
        Mutation::Flip(at, bit) => bytes[at % length] ^= 1 << bit,
        Mutation::Cut(at) => bytes.truncate(at % length),
        Mutation::Remove(at, count) => {
            let at = at % length;
            bytes.drain(at..(at + count).min(length));
        }
        Mutation::Insert(at, inserted) => {
            let at = at % length;
            bytes.splice(at..at, inserted.iter().copied());
        }
        Mutation::Repeat(at, count, times) => {
            let at = at % length;
            let piece = bytes[at..(at + count).min(length)].repeat(*times);
            bytes.splice(at..at, piece);
        }
        Mutation::Word(at, word) => {
            let at = at % length;
            let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+".contains(byte);
            let begin = bytes[..at]
                .iter()
                .rposition(|byte| !inside(byte))
                .map_or(0, |before| before + 1);
            let end = bytes[at..]
                .iter()
                .position(|byte| !inside(byte))
                .map_or(length, |after| at + after);
            bytes.splice(begin..end.max(begin), word.bytes());
        }
        Mutation::Claim(at, number) => {
            let at = at % length;
            let end = (at + 4).min(length);
            bytes.splice(at..end, number.to_be_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_change_what_they_say() {
        let text = b"a,0.5,b\n";
        let changed = |mutation| mutated(text, &[mutation]);
        assert_eq!(changed(Mutation::Word(3, "nan")), b"a,nan,b\n");
        assert_eq!(changed(Mutation::Cut(2)), b"a,");
        assert_eq!(changed(Mutation::Remove(1, 4)), b"a,b\n");
        assert_eq!(changed(Mutation::Flip(0, 1)), b"c,0.5,b\n");
        assert_eq!(changed(Mutation::Repeat(6, 1, 2)), b"a,0.5,bbb\n");
        assert!(mutated(b"", &[Mutation::Cut(1)]).is_empty());
    }
}
