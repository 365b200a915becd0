//! A Parquet file: rows of one type, a column for each of its facts.
//!
//! ```text
//!  row ──> waiting ──row group──> orders.parquet.part ──finished──> orders.parquet
//! ```
//!
//! Invariants:  the file has its name when it is whole. A file that is there is never written over, nor is one that got its
//!              name while another export wanted to begin.
//! When full:   rows wait until they make a row group: memory follows that, not the file.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

/// Rows of a row group: some ten megabytes in memory.
const GROUP_ROWS: usize = 1 << 16;
/// Digits of a price, and those behind the point.
const PRICE_DIGITS: (i32, i32) = (18, 4);

/// A fact of a row, and how a file has it. Each may be missing, but for a flag.
#[derive(Debug)]
pub enum Cell<R> {
    /// Text.
    Text(fn(&R) -> Option<Cow<'_, str>>),
    /// A count, or a number of the gateway's.
    Count(fn(&R) -> Option<i64>),
    /// A number of somebody else's, in all of its 64 bits.
    Number(fn(&R) -> Option<u64>),
    /// A price, in 0.0001 dollars.
    Price(fn(&R) -> Option<u64>),
    /// A time, ns since 1970.
    Time(fn(&R) -> Option<u64>),
    /// Yes or no.
    Flag(fn(&R) -> bool),
}

/// A column.
#[derive(Debug)]
pub struct Column<R> {
    /// Its name.
    pub name: &'static str,
    /// What it has of each row.
    pub cell: Cell<R>,
    /// What it says: documents and files have it.
    pub about: &'static str,
}

impl<R> Column<R> {
    /// A column of text.
    #[must_use]
    pub const fn text(
        name: &'static str,
        about: &'static str,
        cell: fn(&R) -> Option<Cow<'_, str>>,
    ) -> Self {
        let cell = Cell::Text(cell);
        Self { name, cell, about }
    }

    /// A column of counts.
    #[must_use]
    pub const fn count(
        name: &'static str,
        about: &'static str,
        cell: fn(&R) -> Option<i64>,
    ) -> Self {
        let cell = Cell::Count(cell);
        Self { name, cell, about }
    }

    /// A column of somebody else's numbers.
    #[must_use]
    pub const fn number(
        name: &'static str,
        about: &'static str,
        cell: fn(&R) -> Option<u64>,
    ) -> Self {
        let cell = Cell::Number(cell);
        Self { name, cell, about }
    }

    /// A column of prices.
    #[must_use]
    pub const fn price(
        name: &'static str,
        about: &'static str,
        cell: fn(&R) -> Option<u64>,
    ) -> Self {
        let cell = Cell::Price(cell);
        Self { name, cell, about }
    }

    /// A column of times.
    #[must_use]
    pub const fn time(
        name: &'static str,
        about: &'static str,
        cell: fn(&R) -> Option<u64>,
    ) -> Self {
        let cell = Cell::Time(cell);
        Self { name, cell, about }
    }

    /// A column of flags.
    #[must_use]
    pub const fn flag(name: &'static str, about: &'static str, cell: fn(&R) -> bool) -> Self {
        let cell = Cell::Flag(cell);
        Self { name, cell, about }
    }

    fn schema(&self) -> Result<Type, ParquetError> {
        let (physical, logical) = match self.cell {
            Cell::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Cell::Count(_) => (Physical::INT64, Some(LogicalType::integer(64, true))),
            Cell::Number(_) => (Physical::INT64, Some(LogicalType::integer(64, false))),
            Cell::Price(_) => {
                let (digits, behind) = PRICE_DIGITS;
                (Physical::INT64, Some(LogicalType::decimal(behind, digits)))
            }
            Cell::Time(_) => {
                let time = LogicalType::timestamp(true, TimeUnit::NANOS);
                (Physical::INT64, Some(time))
            }
            Cell::Flag(_) => (Physical::BOOLEAN, None),
        };
        let mut builder = Type::primitive_type_builder(self.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        if let Cell::Price(_) = self.cell {
            let (digits, behind) = PRICE_DIGITS;
            builder = builder.with_precision(digits).with_scale(behind);
        }
        builder.build()
    }

    fn write(&self, rows: &[R], out: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let integers = |cells: &mut dyn Iterator<Item = Option<i64>>| split(cells);
        let (values, is_there) = match self.cell {
            Cell::Text(cell) => {
                let cells = rows.iter().map(|row| cell(row).map(of_text));
                let (values, is_there) = split(cells);
                let out = out.typed::<ByteArrayType>();
                return out.write_batch(&values, Some(&is_there), None).map(|_| ());
            }
            Cell::Flag(cell) => {
                let values: Vec<bool> = rows.iter().map(cell).collect();
                let is_there = vec![1; values.len()];
                let out = out.typed::<BoolType>();
                return out.write_batch(&values, Some(&is_there), None).map(|_| ());
            }
            Cell::Count(cell) => integers(&mut rows.iter().map(cell)),
            Cell::Number(cell) | Cell::Price(cell) | Cell::Time(cell) => {
                let cells = rows.iter().map(|row| cell(row).map(u64::cast_signed));
                integers(&mut { cells })
            }
        };
        let out = out.typed::<Int64Type>();
        out.write_batch(&values, Some(&is_there), None).map(|_| ())
    }
}

fn of_text(text: Cow<'_, str>) -> ByteArray {
    ByteArray::from(text.into_owned().into_bytes())
}

/// Values that are there, and for each row whether its is.
fn split<T>(cells: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
    let mut values = Vec::new();
    let is_there = cells.map(|cell| {
        let is_there = i16::from(cell.is_some());
        values.extend(cell);
        is_there
    });
    let is_there = is_there.collect();
    (values, is_there)
}

/// The file.
pub struct Table<R: 'static> {
    columns: &'static [Column<R>],
    path: PathBuf,
    part: PathBuf,
    writer: SerializedFileWriter<File>,
    waiting: Vec<R>,
    rows: u64,
    is_named: bool,
}

impl<R> std::fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("path", &self.path)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<R> Table<R> {
    /// Begins a file of this name.
    ///
    /// # Errors
    /// It is there already, somebody else is writing it, or it cannot be made.
    pub fn begin(folder: &Path, name: &str, columns: &'static [Column<R>]) -> io::Result<Self> {
        let path = folder.join(name);
        let part = folder.join(format!("{name}.part"));
        let file = begin_part(&path, &part)?;
        let fields = columns.iter().map(|column| column.schema().map(Arc::new));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("row")
            .with_fields(fields)
            .build()?;
        let about = columns.iter().map(|column| KeyValue {
            key: column.name.to_owned(),
            value: Some(column.about.to_owned()),
        });
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(about.collect()))
            .set_created_by(concat!("tickgate ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        Ok(Self {
            columns,
            path,
            part,
            writer,
            waiting: Vec::new(),
            rows: 0,
            is_named: false,
        })
    }

    /// Takes rows.
    ///
    /// # Errors
    /// The file takes nothing.
    pub fn extend(&mut self, rows: impl Iterator<Item = R>) -> io::Result<()> {
        for row in rows {
            self.waiting.push(row);
            if self.waiting.len() >= GROUP_ROWS {
                self.write_group()?;
            }
        }
        Ok(())
    }

    /// Writes what waits, and the file's end; how many rows it has. It has not got its name yet.
    ///
    /// # Errors
    /// The file takes nothing.
    pub fn finish(&mut self) -> io::Result<u64> {
        if !self.waiting.is_empty() {
            self.write_group()?;
        }
        self.writer.finish()?;
        self.writer.inner().sync_all()?;
        Ok(self.rows)
    }

    /// Gives a finished file its name.
    ///
    /// # Errors
    /// Somebody else has taken it meanwhile, or it cannot be given.
    pub fn name(&mut self) -> io::Result<()> {
        refuse_what_is_there(&self.path)?;
        std::fs::rename(&self.part, &self.path)?;
        self.is_named = true;
        Ok(())
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in self.columns {
            let Some(mut out) = group.next_column()? else {
                break;
            };
            column.write(&self.waiting, &mut out)?;
            out.close()?;
        }
        group.close()?;
        self.rows += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

impl<R> Drop for Table<R> {
    fn drop(&mut self) {
        if !self.is_named {
            // Where it cannot be removed, the next export takes it over.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// The empty file that is written, which nobody else writes.
fn begin_part(path: &Path, part: &Path) -> io::Result<File> {
    loop {
        refuse_what_is_there(path)?;
        // What an export left that was killed is nobody's.
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(part)?;
        file.try_lock()?;
        // Whoever had it may have finished it before it was locked: then it has its name, and is none of ours.
        if is_at(&file, part)? {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// Whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let there = match std::fs::metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let ours = file.metadata()?;
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

fn refuse_what_is_there(path: &Path) -> io::Result<()> {
    if path.try_exists()? {
        let shown = path.display();
        let text = format!("{shown} is there already, expected a folder without it");
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_was_named_or_removed_meanwhile_is_not_at_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let [part, path] = ["orders.part", "orders"].map(|name| folder.path().join(name));
        let file = File::create(&part).unwrap();
        assert!(is_at(&file, &part).unwrap());
        std::fs::rename(&part, &path).unwrap();
        assert!(!is_at(&file, &part).unwrap() && is_at(&file, &path).unwrap());
        File::create(&part).unwrap();
        assert!(!is_at(&file, &part).unwrap(), "another one has its place");
    }

    #[test]
    fn exports_that_meet_empty_no_finished_file() {
        let folder = tempfile::tempdir().unwrap();
        let [part, path] = ["orders.part", "orders"].map(|name| folder.path().join(name));
        let finish = || {
            let file = begin_part(&path, &part)?;
            assert!(!is_at(&file, &path)?, "it was finished before");
            io::Write::write_all(&mut &file, b"whole")?;
            std::fs::rename(&part, &path)
        };
        for _ in 0..200 {
            let finished = std::thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(finish));
                threads.map(|thread| thread.join().unwrap())
            });
            assert!(finished.iter().any(Result::is_ok), "{finished:?}");
            assert_eq!(std::fs::read(&path).unwrap(), b"whole");
            std::fs::remove_file(&path).unwrap();
            let _ = std::fs::remove_file(&part);
        }
    }
}
