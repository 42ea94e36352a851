//! What the packets of an answer say. No IO.

use std::sync::Arc;

use mysql_common::Value;
use mysql_common::constants::{CapabilityFlags, ColumnType, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{Column, CommonOkPacket, OkPacketDeserializer, OldEofPacket};
use mysql_common::proto::{Binary, MyDeserialize, Text};
use mysql_common::row::{Row, RowDeserializer};
use mysql_common::value::ServerSide;

use super::{Error, Result};

/// A value as text; none for NULL.
pub(crate) type Cell = Option<String>;
/// The rows of an answer.
pub(crate) type Rows = Vec<Vec<Cell>>;

/// Rows beyond these are read and left. No group has more than nine members.
pub(crate) const MOST_ROWS: usize = 64;
/// No question here asks for more.
const MOST_COLUMNS: u64 = 64;

/// First bytes of packets.
const OK: u8 = 0x00;
const END: u8 = 0xFE;
const FILE_WANTED: u8 = 0xFB;
/// An end is shorter than this; a row that begins with the same byte is longer.
const LONGEST_END: usize = 8;

/// How a row is written: as the answer to a query, or to a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Binary,
}

/// An answer, packet by packet.
#[derive(Debug)]
pub(super) struct Answer {
    form: Form,
    at: At,
    columns: usize,
    /// The columns and the rows, each packet after its length.
    pub(super) bytes: Vec<u8>,
    kept: usize,
    more: bool,
}

/// Where in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Columns(usize),
    ColumnsEnd,
    Rows,
    End,
}

impl Answer {
    pub(super) fn new(form: Form) -> Self {
        Self { form, at: At::Start, columns: 0, bytes: Vec::new(), kept: 0, more: false }
    }

    /// Whether the last packet of the set has been taken in.
    pub(super) fn is_whole(&self) -> bool {
        self.at == At::End
    }

    /// Whether another set of rows, or a procedure's own end, comes after this one.
    pub(super) fn more_follows(&self) -> bool {
        self.more
    }

    /// The next packet.
    pub(super) fn take_in(&mut self, packet: &[u8], capabilities: CapabilityFlags) -> Result<()> {
        let is_end = packet.first() == Some(&END) && packet.len() <= LONGEST_END;
        self.at = match self.at {
            At::Start => match packet.first() {
                Some(&OK) => {
                    let ok: OkPacketDeserializer<'_, CommonOkPacket> = parsed_with(packet, capabilities)?;
                    self.end(ok.into_inner().status_flags())
                }
                Some(&FILE_WANTED) | None => return Err(odd("an answer's first packet")),
                Some(_) => {
                    let number = ParseBuf(packet).checked_eat_lenenc_int();
                    let number = number.filter(|number| (1..=MOST_COLUMNS).contains(number));
                    self.columns = number
                        .and_then(|number| usize::try_from(number).ok())
                        .ok_or_else(|| odd("a number of columns"))?;
                    At::Columns(self.columns)
                }
            },
            At::Columns(left) => {
                self.keep(packet);
                if left > 1 { At::Columns(left - 1) } else { At::ColumnsEnd }
            }
            At::ColumnsEnd if is_end => At::Rows,
            At::ColumnsEnd => return Err(odd("the end of the columns")),
            At::Rows if is_end => {
                let end: OkPacketDeserializer<'_, OldEofPacket> = parsed_with(packet, capabilities)?;
                self.end(end.into_inner().status_flags())
            }
            At::Rows => {
                if self.kept < self.columns + MOST_ROWS {
                    self.keep(packet);
                }
                At::Rows
            }
            At::End => return Err(odd("a packet after the end")),
        };
        Ok(())
    }

    fn end(&mut self, status: StatusFlags) -> At {
        self.more = status.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS);
        At::End
    }

    fn keep(&mut self, packet: &[u8]) {
        self.kept += 1;
        // Shorter than the longest packet, which is.
        self.bytes.extend_from_slice(&u32::try_from(packet.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend_from_slice(packet);
    }

    /// What it says, once it is whole.
    pub(super) fn rows(&self) -> Result<Rows> {
        let mut packets = packets_in(&self.bytes);
        let columns = packets.by_ref().take(self.columns).map(column).collect::<Result<Arc<[Column]>>>()?;
        packets.map(|packet| self.row(packet, &columns)).collect()
    }

    fn row(&self, packet: &[u8], columns: &Arc<[Column]>) -> Result<Vec<Cell>> {
        let columns = Arc::clone(columns);
        let row: Row = match self.form {
            Form::Text => parsed_with::<RowDeserializer<ServerSide, Text>>(packet, columns)?.into_inner(),
            Form::Binary => parsed_with::<RowDeserializer<ServerSide, Binary>>(packet, columns)?.into_inner(),
        };
        let cells = row.unwrap_raw().into_iter();
        cells.map(|value| value.map(cell).ok_or_else(|| odd("a row without one of its cells"))).collect()
    }
}

/// A column of text or of whole numbers: nothing here asks for another kind, and on some the library panics.
fn column(packet: &[u8]) -> Result<Column> {
    let column: Column = parsed(packet)?;
    match column.column_type() {
        ColumnType::MYSQL_TYPE_VAR_STRING
        | ColumnType::MYSQL_TYPE_STRING
        | ColumnType::MYSQL_TYPE_VARCHAR
        | ColumnType::MYSQL_TYPE_TINY_BLOB
        | ColumnType::MYSQL_TYPE_BLOB
        | ColumnType::MYSQL_TYPE_MEDIUM_BLOB
        | ColumnType::MYSQL_TYPE_LONG_BLOB
        | ColumnType::MYSQL_TYPE_ENUM
        | ColumnType::MYSQL_TYPE_SET
        | ColumnType::MYSQL_TYPE_NEWDECIMAL
        | ColumnType::MYSQL_TYPE_TINY
        | ColumnType::MYSQL_TYPE_SHORT
        | ColumnType::MYSQL_TYPE_INT24
        | ColumnType::MYSQL_TYPE_LONG
        | ColumnType::MYSQL_TYPE_LONGLONG
        | ColumnType::MYSQL_TYPE_NULL => Ok(column),
        other => Err(Error::NotUnderstood(format!("a column of the kind {other:?}"))),
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        // Not of these columns.
        Value::Float(_) | Value::Double(_) | Value::Date(..) | Value::Time(..) => Some(String::new()),
    }
}

fn packets_in(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (packet, rest) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
        bytes = rest;
        Some(packet)
    })
}

/// The rows that an answer of these packets gives; none as long as its end is missing.
///
/// # Errors
/// A packet is not as it has to be.
pub(crate) fn rows_in<'a>(form: Form, packets: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Rows>> {
    let mut answer = Answer::new(form);
    for packet in packets {
        answer.take_in(packet, CapabilityFlags::CLIENT_PROTOCOL_41)?;
        if answer.is_whole() {
            return answer.rows().map(Some);
        }
    }
    Ok(None)
}

/// A packet without context.
pub(super) fn parsed<'de, T: MyDeserialize<'de, Ctx = ()>>(packet: &'de [u8]) -> Result<T> {
    parsed_with(packet, ())
}

fn parsed_with<'de, T: MyDeserialize<'de>>(packet: &'de [u8], context: T::Ctx) -> Result<T> {
    ParseBuf(packet).parse(context).map_err(|error| Error::NotUnderstood(error.to_string()))
}

fn odd(what: &str) -> Error {
    Error::NotUnderstood(what.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mysql_common::proto::MySerialize as _;

    use super::*;

    const END_PACKET: &[u8] = &[END, 0, 0, 2, 0];

    fn column() -> Vec<u8> {
        let mut packet = Vec::new();
        Column::new(ColumnType::MYSQL_TYPE_VAR_STRING).with_name(b"c").serialize(&mut packet);
        packet
    }

    fn rows(form: Form, packets: &[&[u8]]) -> Result<Option<Rows>> {
        rows_in(form, packets.iter().copied())
    }

    #[test]
    fn null_is_no_text_in_both_forms() {
        let column = column();
        let expected = vec![vec![Some("ab".to_owned()), None]];
        let text: &[u8] = &[2, b'a', b'b', 0xFB];
        let packets = [&[2][..], &column, &column, END_PACKET, text, END_PACKET];
        assert_eq!(rows(Form::Text, &packets).unwrap(), Some(expected.clone()));
        let binary: &[u8] = &[0, 0b1000, 2, b'a', b'b'];
        let packets = [&[2][..], &column, &column, END_PACKET, binary, END_PACKET];
        assert_eq!(rows(Form::Binary, &packets).unwrap(), Some(expected));
    }

    #[test]
    fn a_statement_without_rows_has_none_and_an_answer_without_its_end_is_none() {
        assert_eq!(rows(Form::Text, &[&[0, 0, 0, 2, 0, 0, 0]]).unwrap(), Some(Vec::new()));
        assert_eq!(rows(Form::Text, &[&[1], &column(), END_PACKET]).unwrap(), None);
    }

    #[test]
    fn rows_beyond_the_most_are_left() {
        let column = column();
        let mut packets = vec![&[1][..], &column, END_PACKET];
        packets.extend(std::iter::repeat_n(&[1, b'x'][..], 2 * MOST_ROWS));
        packets.push(END_PACKET);
        assert_eq!(rows(Form::Text, &packets).unwrap().unwrap().len(), MOST_ROWS);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 20_000, failure_persistence: None, ..Default::default() })]
        #[test]
        fn no_bytes_in_a_row_or_a_column_make_it_panic(
            binary: bool,
            first in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
            row in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
            kind: u8,
        ) {
            let form = if binary { Form::Binary } else { Form::Text };
            let mut column = column();
            let place = column.len() - 6;
            column[place] = kind;
            let _ = rows(form, &[&[1], &first, END_PACKET, &row, END_PACKET]);
            let _ = rows(form, &[&[1], &column, END_PACKET, &row, END_PACKET]);
        }
    }

    #[test]
    fn a_kind_of_column_on_which_the_library_panics_is_an_error() {
        let mut column = Vec::new();
        Column::new(ColumnType::MYSQL_TYPE_DATETIME2).serialize(&mut column);
        let answer = rows(Form::Binary, &[&[1], &column, END_PACKET, &[0, 0], END_PACKET]);
        assert!(matches!(answer, Err(Error::NotUnderstood(_))), "{answer:?}");
    }

    #[test]
    fn what_no_server_says_is_an_error() {
        let column = column();
        for packets in [
            &[&[FILE_WANTED, b'/'][..]][..],
            &[&[0xFC, 0xFF, 0xFF]],
            &[&[1], &[7, 7], END_PACKET, END_PACKET],
            &[&[1], &column, &column],
            &[&[1], &column, END_PACKET, &[9, b'x'], END_PACKET],
        ] {
            assert!(matches!(rows(Form::Text, packets), Err(Error::NotUnderstood(_))), "{packets:?}");
        }
    }
}
