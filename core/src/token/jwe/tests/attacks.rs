//! Everything that may be wrong with a token.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256};

use super::forge::{Forgery, joined};
use super::*;

#[test]
fn a_header_may_say_more_but_chooses_nothing() {
    let keys = keys(&RSA[0].private);
    for more in
        [r#","cty":"JWT""#, r#","typ":"JWE""#, r#","kid":"../../etc/passwd""#, r#","kid":"","typ":"","cty":"JWT""#]
    {
        let header = format!(r#"{{"alg":"RSA-OAEP","enc":"A256GCM"{more}}}"#);
        assert!(opens(&keys, &Forgery { header: &header, ..Forgery::default() }.token()), "{header}");
    }
    let turned = r#" { "enc" : "A256GCM", "alg" : "RSA-OAEP" } "#;
    assert!(opens(&keys, &Forgery { header: turned, ..Forgery::default() }.token()));
}

/// Each token is sealed as its header asks, as far as we can, and as ours would.
#[test]
fn other_headers_are_refused() {
    let rows = include_str!("../../../../../tests/fixtures/mitigate/jwe_headers_refused.json");
    let mut headers: Vec<String> = serde_json::from_str(rows).expect("headers");
    let deep = ["[".repeat(200), "]".repeat(200)].join("1");
    headers.push(format!(r#"{{"alg":"RSA-OAEP","enc":"A256GCM","kid":{deep}}}"#));
    let keys = keys(&RSA[0].private);
    for header in &headers {
        for (oaep, cipher, content_key) in [
            (Some(&OAEP_SHA1_MGF1SHA1), &AES_256_GCM, &[9; 32][..]),
            (Some(&OAEP_SHA256_MGF1SHA256), &AES_256_GCM, &[9; 32]),
            (None, &AES_256_GCM, &[9; 32]),
            (Some(&OAEP_SHA1_MGF1SHA1), &AES_128_GCM, &[9; 16]),
        ] {
            let token = Forgery { header, oaep, cipher, content_key, ..Forgery::default() }.token();
            assert!(keys.open(&token).is_none(), "{header}");
        }
    }
    let mut parts = Forgery::default().parts();
    parts[0] = b"{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\",\"kid\":\"\xff\"}".to_vec();
    assert!(keys.open(&joined(&parts)).is_none(), "a header that is no UTF-8");
}

#[test]
fn a_key_that_is_wrapped_otherwise_is_refused_whatever_the_header_says() {
    let keys = keys(&RSA[0].private);
    assert!(opens(&keys, &Forgery::default().token()));
    for forgery in [
        Forgery { oaep: Some(&OAEP_SHA256_MGF1SHA256), ..Forgery::default() },
        Forgery { oaep: None, ..Forgery::default() },
        Forgery { cipher: &AES_128_GCM, content_key: &[9; 16], ..Forgery::default() },
        Forgery { to: &RSA[1], ..Forgery::default() },
        Forgery { text: b"", ..Forgery::default() },
    ] {
        assert!(keys.open(&forgery.token()).is_none());
    }
    // `dir`: no encrypted key at all, and a key that anybody may know.
    for known in [vec![], vec![9; 32], vec![0; 256], vec![0xff; 256]] {
        let mut parts = Forgery::default().parts();
        parts[1] = known;
        assert!(keys.open(&joined(&parts)).is_none());
    }
}

/// Where nothing is unwrapped, no key that anybody knows may stand in.
#[test]
fn a_key_that_cannot_be_unwrapped_is_replaced_by_one_that_nobody_knows() {
    let keys = keys(&RSA[0].private);
    for known in [[0; 32], [9; 32], [0xff; 32]] {
        let mut parts = Forgery { content_key: &known, ..Forgery::default() }.parts();
        let (whole, short) =
            (parts[1].clone(), Forgery { cipher: &AES_128_GCM, content_key: &known[..16], ..Forgery::default() });
        for replaced in [vec![1; 256], whole.iter().rev().copied().collect(), short.parts()[1].clone()] {
            parts[1] = replaced;
            assert!(keys.open(&joined(&parts)).is_none());
        }
    }
}

#[test]
fn parts_of_another_length_are_refused() {
    let keys = keys(&RSA[0].private);
    let good = Forgery::default().parts();
    for (index, lengths) in [
        (1, &[0, 1, 32, 128, 255, 257, 512][..]),
        (2, &[0, 8, 11, 13, 16, 32]),
        (4, &[0, 1, 4, 8, 12, 13, 14, 15, 17, 32]),
    ] {
        for length in lengths {
            for filling in [0, 0xff] {
                let mut parts = good.clone();
                parts[index].resize(*length, filling);
                assert!(keys.open(&joined(&parts)).is_none(), "part {index} of {length} bytes");
                // With zeroes in front, as numbers may have them.
                let mut parts = good.clone();
                parts[index] =
                    [vec![filling; length.saturating_sub(parts[index].len())], parts[index].clone()].concat();
                assert_eq!(keys.open(&joined(&parts)).is_some(), *length <= good[index].len());
            }
        }
    }
}

#[test]
fn tokens_of_another_shape_are_refused() {
    let keys = keys(&RSA[0].private);
    let good = Forgery::default().token();
    assert!(opens(&keys, &good));
    let parts: Vec<_> = good.split('.').collect();
    let mut bad: Vec<String> = vec![
        String::new(),
        ".".into(),
        "....".into(),
        ".....".into(),
        parts[..4].join("."),
        parts[1..].join("."),
        parts[..3].join("."),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.AAAA"),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}\0"),
        format!("{good}{good}"),
        good.replace('.', ".."),
        good.replace('.', "%2e"),
        good.to_lowercase(),
        r#"{"protected":"e30"}"#.into(),
    ];
    for index in 0..5 {
        let with = |part: String| {
            let mut parts = parts.clone();
            parts[index] = &part;
            parts.join(".")
        };
        let part = parts[index];
        let standard = part.replace('-', "+").replace('_', "/");
        let mut wrong =
            vec![String::new(), format!("{part}="), format!("{part}=="), format!("{part}A"), format!("{part} ")];
        wrong.extend([
            format!("{part}\n"),
            format!("{part}AA"),
            format!("{part}AAAA"),
            part[..part.len() - 1].to_owned(),
        ]);
        wrong.extend([format!("{part}é"), format!("\0{part}"), part[1..].to_owned(), part[4..].to_owned()]);
        if standard != part {
            wrong.push(standard);
        }
        bad.extend(wrong.into_iter().map(with));
    }
    for token in bad {
        assert!(keys.open(&token).is_none(), "{token}");
    }
}

/// Unused bits of the last character must be zero, or one token would have several spellings.
#[test]
fn a_token_has_one_spelling() {
    let keys = keys(&RSA[0].private);
    let good = Forgery::default().token();
    let parts: Vec<_> = good.split('.').collect();
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut spellings = 0;
    for index in 0..5 {
        let (begin, last) = parts[index].split_at(parts[index].len() - 1);
        for digit in digits.iter().map(|digit| char::from(*digit).to_string()).filter(|digit| digit != last) {
            let turned = format!("{begin}{digit}");
            let mut parts = parts.clone();
            parts[index] = &turned;
            assert!(keys.open(&parts.join(".")).is_none(), "part {index} ends in {digit}");
            spellings += 1;
        }
    }
    assert_eq!(spellings, 5 * 63);
}

#[test]
fn any_flipped_bit_of_any_part_is_seen() {
    let keys = keys(&RSA[0].private);
    let good = Forgery::default().parts();
    for index in 0..5 {
        let all = good[index].len() * 8;
        // Each costs an RSA operation: of the encrypted key some do.
        for bit in (0..all).step_by(if index == 1 { 61 } else { 1 }) {
            let mut parts = good.clone();
            parts[index][bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(&joined(&parts)).is_none(), "bit {bit} of part {index}");
        }
    }
}

#[test]
fn parts_of_two_tokens_do_not_mix() {
    let keys = keys(&RSA[0].private);
    let one = Forgery::default().parts();
    let other = Forgery { content_key: &[8; 32], text: b"another.nested.token", ..Forgery::default() }.parts();
    for index in [1, 3, 4] {
        let mut parts = one.clone();
        parts[index].clone_from(&other[index]);
        assert!(keys.open(&joined(&parts)).is_none(), "part {index}");
    }
}

#[test]
fn huge_tokens_are_not_read() {
    let keys = keys(&RSA[0].private);
    let of = |length| Forgery { text: &vec![b'x'; length], ..Forgery::default() }.token();
    let overhead = of(3).len() - 4;
    let longest = (MAX_TOKEN - overhead) / 4 * 3;
    assert!(of(longest).len() <= MAX_TOKEN && keys.open(&of(longest)).is_some());
    assert!(of(longest + 3).len() > MAX_TOKEN && keys.open(&of(longest + 3)).is_none());
    for huge in [".".repeat(1 << 20), "A".repeat(1 << 20), format!("{}{}", of(3), "A".repeat(1 << 20))] {
        assert!(keys.open(&huge).is_none());
    }
}
