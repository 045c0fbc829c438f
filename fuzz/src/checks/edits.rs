//! Changes to a token that is good: random bytes never come near one.

/// The most changes that are made at once.
const MOST: usize = 16;

/// Letters of a text that is made no longer; any token would be refused for fewer.
const LONG: usize = 20_000;

/// The digits of base64url.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `text`, changed as `edits` says, four bytes for each change: which, where (two bytes, the first bit for from the end),
/// and with which letter. Without any it stays as it is.
pub(super) fn edited(text: &str, edits: &[u8]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for edit in edits.chunks_exact(4).take(MOST) {
        let place = u16::from_be_bytes([edit[1], edit[2]]);
        change(&mut letters, edit[0], place, edit[3]);
    }
    letters.into_iter().collect()
}

fn change(letters: &mut Vec<char>, kind: u8, place: u16, letter: u8) {
    const FROM_THE_END: u16 = 0x8000;
    let ahead = usize::from(place & !FROM_THE_END) % (letters.len() + 1);
    let at = if place & FROM_THE_END == 0 { ahead } else { letters.len() - ahead };
    match kind % 9 {
        0 => letters.insert(at, char::from(letter)),
        1 if at < letters.len() => letters[at] = char::from(letter),
        2 if at < letters.len() => drop(letters.remove(at)),
        3 => letters.truncate(at),
        4 => swap_parts(letters, place.into(), letter.into()),
        5 => letters.insert(at, '.'),
        // Twice in a row, from here to the end.
        6 if letters.len() < LONG => letters.extend_from_within(at..),
        7 if at < letters.len() => letters[at] = twin(letters[at]),
        8 if at < letters.len() => letters[at] = other_case(letters[at]),
        _ => {}
    }
}

fn other_case(letter: char) -> char {
    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
}

/// The digit of base64url that differs in its last bit, which at a part's end means nothing.
fn twin(letter: char) -> char {
    let digit = DIGITS.iter().position(|digit| char::from(*digit) == letter);
    digit.map_or(letter, |digit| char::from(DIGITS[digit ^ 1]))
}

/// Two parts of a token change places; one may take the place of the other.
fn swap_parts(letters: &mut Vec<char>, one: usize, other: usize) {
    let mut parts: Vec<Vec<char>> = letters.split(|letter| *letter == '.').map(<[char]>::to_vec).collect();
    let (one, other) = (one % parts.len(), other % parts.len());
    parts.swap(one, other);
    *letters = parts.join(&'.');
}
