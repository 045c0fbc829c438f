//! Changes to a token that is good: random bytes never come near one.

/// The most changes that are made at once.
const MOST: usize = 16;

/// `text`, changed as `edits` says, four bytes for each change: which, where (two bytes), and with which letter. Without
/// any it stays as it is.
pub(super) fn edited(text: &str, edits: &[u8]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for edit in edits.chunks_exact(4).take(MOST) {
        let [kind, high, low, letter] = [edit[0], edit[1], edit[2], edit[3]];
        change(&mut letters, kind, usize::from(u16::from_be_bytes([high, low])), letter);
    }
    letters.into_iter().collect()
}

fn change(letters: &mut Vec<char>, kind: u8, place: usize, letter: u8) {
    let at = place % (letters.len() + 1);
    match kind % 7 {
        0 => letters.insert(at, char::from(letter)),
        1 if at < letters.len() => letters[at] = char::from(letter),
        2 if at < letters.len() => drop(letters.remove(at)),
        3 => letters.truncate(at),
        4 => swap_parts(letters, place, letter.into()),
        5 => letters.insert(at, '.'),
        // Twice in a row, from here to the end.
        6 => letters.extend_from_within(at..),
        _ => {}
    }
}

/// Two parts of a token change places; one may take the place of the other.
fn swap_parts(letters: &mut Vec<char>, one: usize, other: usize) {
    let mut parts: Vec<Vec<char>> = letters.split(|letter| *letter == '.').map(<[char]>::to_vec).collect();
    let (one, other) = (one % parts.len(), other % parts.len());
    parts.swap(one, other);
    *letters = parts.join(&'.');
}
