//! Reading a backup line by line, and refusing what is not whole.

use std::io::{BufRead, Read};

use serde::de::DeserializeOwned;
use sidegate_core::json;

use super::entry::{FORMAT, Header, Line, MAX_LINE, VERSION};
use super::import::ImportError;

/// The entries of a backup, checked as they are read.
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// The line that was read last, the first being 1.
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads the header.
    pub(super) fn open(input: R) -> Result<Self, ImportError> {
        let mut entries = Self { input, line: Vec::new(), number: 0 };
        let header: Option<Header> = entries.parse()?;
        let header = header.filter(|header| header.format == FORMAT);
        let header = header.ok_or_else(|| entries.refused("not the header of a backup"))?;
        if header.version != VERSION {
            let reason = format!("a backup of version {}; this program reads version {VERSION}", header.version);
            return Err(entries.refused(&reason));
        }
        Ok(entries)
    }

    /// The next entry; `None` when the backup ended as it must.
    pub(super) fn next(&mut self) -> Result<Option<Line>, ImportError> {
        let before = self.number.saturating_sub(1);
        match self.parse()? {
            None => Err(self.refused("the end is missing: the backup was cut off")),
            Some(Line::End(end)) if end.entries != before => {
                Err(self.refused("the entries are not as many as it says: lines are missing or were added"))
            }
            Some(Line::End(_)) if self.read()? => Err(self.refused("there is more behind the end")),
            Some(Line::End(_)) => Ok(None),
            entry => Ok(entry),
        }
    }

    /// The next line as a `T`; `None` at the end of the input.
    fn parse<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ImportError> {
        if !self.read()? {
            return Ok(None);
        }
        let text = json::check_object(&self.line)
            .map_err(|_| self.refused("not a JSON object, or a name stands twice in it"))?;
        // What serde says may quote the line.
        serde_json::from_str(text).map(Some).map_err(|_| self.refused("not an entry of a backup"))
    }

    /// Reads a line into `line`; whether there was one.
    fn read(&mut self) -> Result<bool, ImportError> {
        self.line.clear();
        self.number += 1;
        let bound = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = (&mut self.input).take(bound).read_until(b'\n', &mut self.line).map_err(ImportError::Input)?;
        match self.line.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) if read == MAX_LINE => Err(self.refused("longer than 64 MiB")),
            Some(_) => Err(self.refused("without its end: the backup was cut off")),
        }
    }

    fn refused(&self, reason: &str) -> ImportError {
        ImportError::Malformed { line: self.number, reason: reason.to_owned() }
    }
}
