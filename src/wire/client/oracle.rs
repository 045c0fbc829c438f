//! The same bytes, read by hyper: what is taken here must be taken there, and for the same requests.
//! The other way round it need not be: more is refused here.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::tests::{Seen, read_in_pieces};

/// One request as it is written, and as it is to be read.
#[derive(Clone, Debug)]
struct Written {
    bytes: Vec<u8>,
    seen: Seen,
}

fn chunks(body: &[u8], size: usize, extension: &str, trailer: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        bytes.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
    }
    bytes.extend(format!("0\r\n{trailer}\r\n").into_bytes());
    bytes
}

prop_compose! {
    fn written()(
        method in "[A-Z]{1,7}",
        target in "/[a-z0-9/._~%-]{0,20}(\\?[a-z=&]{0,10})?",
        fields in prop::collection::vec(("[Xx]-[a-z]{1,8}", ":[ \t]{0,2}", "[!-~]{0,3}[ -~]{0,9}", "[ \t]{0,2}"), 0..6),
        body in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
        chunked: bool,
        size in 1_usize..20,
        extension in "(;[a-z]{1,3}(=[a-z]{1,3})?)?",
        trailer in "(X-[a-z]{1,3}: [a-z]{0,5}\r\n)?",
        empty_line: bool,
    ) -> Written {
        let mut head = if empty_line { "\r\n".to_owned() } else { String::new() };
        head += &format!("{method} {target} HTTP/1.1\r\nHost: gate\r\n");
        for (name, colon, value, space) in fields {
            head += &format!("{name}{colon}{value}{space}\r\n");
        }
        let body_bytes = match &body {
            None => b"\r\n".to_vec(),
            Some(body) if chunked => [b"Transfer-Encoding: chunked\r\n\r\n", &*chunks(body, size, &extension, &trailer)].concat(),
            Some(body) => [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(),
        };
        let seen = (format!("{method} {target}"), body.unwrap_or_default());
        Written { bytes: [head.into_bytes(), body_bytes].concat(), seen }
    }
}

/// What hyper reads of `bytes`.
fn read_by_hyper(bytes: &[u8]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            if let Ok(body) = request.into_body().collect().await {
                seen.borrow_mut().push((line, body.to_bytes().to_vec()));
            }
            Ok::<_, Infallible>(hyper::Response::new(Empty::<bytes::Bytes>::new()))
        }
    });
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.expect("sent");
        client.shutdown().await.expect("closed");
        let mut builder = hyper::server::conn::http1::Builder::new();
        // How it ends is told by what was seen.
        let _ = builder.half_close(true).serve_connection(TokioIo::new(server), service).await;
    });
    seen.take()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_was_written_is_read(
        written in prop::collection::vec(written(), 1..4),
        mut cuts in prop::collection::vec(1_usize..300, 0..6),
    ) {
        cuts.sort_unstable();
        let bytes: Vec<u8> = written.iter().flat_map(|request| request.bytes.clone()).collect();
        let expected: Vec<_> = written.into_iter().map(|request| request.seen).collect();
        prop_assert_eq!(&read_in_pieces(&bytes, &cuts).0, &expected);
        prop_assert_eq!(read_by_hyper(&bytes), expected);
    }

    #[test]
    fn what_is_taken_here_is_taken_by_hyper_for_the_same(
        written in prop::collection::vec(written(), 1..4),
        damage in prop::collection::vec((0_usize..400, prop::sample::select(b"\r\n\t :;,0159afAF\0\x7f\xff-xchunked".to_vec()), 0..3_u8), 1..4),
    ) {
        let mut bytes: Vec<u8> = written.into_iter().flat_map(|request| request.bytes).collect();
        for (at, byte, how) in damage {
            let at = at % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let (here, hyper) = (read_in_pieces(&bytes, &[]).0, read_by_hyper(&bytes));
        prop_assert!(
            hyper.starts_with(&here),
            "{:?}\nhere: {here:?}\nhyper: {hyper:?}", String::from_utf8_lossy(&bytes)
        );
    }
}
