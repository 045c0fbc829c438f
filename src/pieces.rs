//! Bodies in pieces, for HTTP/2. What has been handed on waits out of sight until its stream's window has room for it; the
//! next piece is asked for when there is room again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Bytes that are handed on at once.
const PIECE: usize = 16 * 1024;

/// So little may wait for room when its body is over: from then on nobody can tell, or end it.
const LITTLE: usize = 1024;

/// What was read of a body and is not handed on yet.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    rest: Bytes,
}

impl Pieces {
    /// The next piece of a body.
    pub(crate) fn poll_frame<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        body: &mut B,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece(body)))))
    }

    /// Behind a last one that is not little comes a single byte: when there is room for that, what was before it is gone.
    /// It may be the last one as well if nobody knows the body's length.
    fn piece<B: Body>(&mut self, body: &B) -> Bytes {
        let length = self.rest.len();
        let may_be_last = body.is_end_stream() || body.size_hint().exact().is_none();
        let most = if may_be_last && length > LITTLE { length - 1 } else { length };
        self.rest.split_to(most.min(PIECE))
    }

    /// Whether nothing more comes.
    pub(crate) fn is_end_stream<B: Body>(&self, body: &B) -> bool {
        self.rest.is_empty() && body.is_end_stream()
    }

    /// How much comes. It is asked for before anything is read.
    pub(crate) fn size_hint<B: Body>(&self, body: &B) -> SizeHint {
        if self.rest.is_empty() { body.size_hint() } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::future::poll_fn;

    use super::*;

    /// A body of so many bytes at a time, whose length may be known.
    struct Read {
        frames: VecDeque<usize>,
        length: Option<u64>,
    }

    impl Body for Read {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let frame = self.frames.pop_front().map(|length| vec![b'x'; length].into());
            Poll::Ready(frame.map(|data| Ok(Frame::data(data))))
        }

        fn is_end_stream(&self) -> bool {
            self.length.is_some() && self.frames.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    async fn pieces(frames: &[usize], length: Option<u64>) -> Vec<usize> {
        let mut body = Read { frames: frames.iter().copied().collect(), length };
        let (mut pieces, mut lengths) = (Pieces::default(), Vec::new());
        while let Some(frame) = poll_fn(|cx| pieces.poll_frame(&mut body, cx)).await {
            let Ok(frame) = frame;
            lengths.push(frame.into_data().expect("data").len());
        }
        lengths
    }

    #[tokio::test]
    async fn little_is_left_when_a_body_is_over() {
        assert_eq!(pieces(&[2_000, 40_000], Some(42_000)).await, [2_000, 16_384, 16_384, 7_231, 1]);
        assert_eq!(pieces(&[2_000, 20_000], None).await, [1_999, 1, 16_384, 3_615, 1]);
        assert_eq!(pieces(&[16_385], Some(16_385)).await, [16_384, 1]);
        assert_eq!(pieces(&[1_024], Some(1_024)).await, [1_024]);
        assert_eq!(pieces(&[1_024, 10], None).await, [1_024, 10]);
    }
}
