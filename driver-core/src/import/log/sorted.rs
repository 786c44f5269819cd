//! Requests in the order of their instants, into the file of a replay, in memory that does not grow
//! with them.
//!
//! A log is nearly in order: servers write lines as answers end, and a clock that is set steps back
//! once in a while. So the earliest of the last 65 536 requests is written next, and only one that is
//! earlier still begins another run (replacement selection). Of one run the file is there already;
//! several are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Seek};
use std::path::{Path, PathBuf};

use proto::replay::{Block, Head, Reader, Writer};
use proto::units::NS_PER_S;

/// Requests among which the earliest is looked for.
const WINDOW: usize = 1 << 16;
/// Bytes of them, at most.
const WINDOW_LEN_MAX: usize = 32 << 20;
/// Runs that are merged at once: of each a block is in memory.
const RUNS_MAX: usize = 32;
/// Bytes of a file that are read or written at once.
const BUFFER_LEN: usize = 64 << 10;

/// A replay in the making.
pub(super) struct Sorted {
    path: PathBuf,
    window: BinaryHeap<Reverse<Item>>,
    window_len: usize,
    taken: u64,
    /// The run that is being written, and the instant that it has reached.
    run: u32,
    reached_ns: i64,
    writer: Option<Writer<BufWriter<File>>>,
    /// Runs that are whole.
    runs: Vec<File>,
    part: Part,
}

/// A request that waits for its turn: first by run, then by instant, then as they came.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    run: u32,
    at_ns: i64,
    nth: u64,
    request: Box<str>,
}

/// The file under its name while it is not finished, which does not stay.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // It is gone where all went well.
        let _ = fs::remove_file(&self.0);
    }
}

impl Sorted {
    /// For the file of this name, which is there only once it is finished.
    pub(super) fn new(path: &Path) -> Self {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        Self {
            path: path.to_owned(),
            window: BinaryHeap::new(),
            window_len: 0,
            taken: 0,
            run: 0,
            reached_ns: i64::MIN,
            writer: None,
            runs: Vec::new(),
            part: Part(part.into()),
        }
    }

    /// Takes a request, `GET /path`, and its instant, ns since 1970.
    ///
    /// # Errors
    /// Those of files.
    pub(super) fn push(&mut self, at_ns: i64, request: &str) -> io::Result<()> {
        let run = self.run + u32::from(at_ns < self.reached_ns);
        self.window.push(Reverse(Item {
            run,
            at_ns,
            nth: self.taken,
            request: request.into(),
        }));
        self.taken += 1;
        self.window_len += request.len();
        while self.window.len() > WINDOW || self.window_len > WINDOW_LEN_MAX {
            self.write_earliest()?;
        }
        Ok(())
    }

    fn write_earliest(&mut self) -> io::Result<bool> {
        let Some(Reverse(item)) = self.window.pop() else {
            return Ok(false);
        };
        self.window_len -= item.request.len();
        if item.run != self.run {
            self.end_run()?;
            self.run = item.run;
        }
        self.reached_ns = item.at_ns;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => begin(self.new_file()?)?,
        };
        writer.push(item.at_ns, &item.request)?;
        self.writer = Some(writer);
        Ok(true)
    }

    /// A file for a run; only the first has a name, since it may be the only one.
    fn new_file(&self) -> io::Result<File> {
        let file = create(&self.part.0)?;
        if self.run > 0 {
            fs::remove_file(&self.part.0)?;
        }
        Ok(file)
    }

    fn end_run(&mut self) -> io::Result<()> {
        if let Some(writer) = self.writer.take() {
            self.runs.push(finish(writer, &[])?.0);
        }
        if self.runs.len() == 1 {
            // It is not the only one, and needs no name any more.
            let _ = fs::remove_file(&self.part.0);
        }
        if self.runs.len() == RUNS_MAX {
            let into = create(&self.part.0)?;
            fs::remove_file(&self.part.0)?;
            let merged = finish(merged(&mut self.runs, into)?, &[])?.0;
            self.runs = vec![merged];
        }
        Ok(())
    }

    /// Ends the file, whose paths name these secrets; says what it holds, and of how many runs.
    /// Without any request there is none. `is_spread` spreads the requests of each instant evenly
    /// over the second after it.
    ///
    /// # Errors
    /// Those of files.
    pub(super) fn finish(
        mut self,
        secrets: &[String],
        is_spread: bool,
    ) -> io::Result<Option<(Head, usize)>> {
        while self.write_earliest()? {}
        let runs = self.run as usize + 1;
        let Some(mut writer) = self.writer.take() else {
            return Ok(None);
        };
        if !self.runs.is_empty() {
            self.runs.push(finish(writer, &[])?.0);
            writer = merged(&mut self.runs, create(&self.part.0)?)?;
        }
        if is_spread {
            let (file, _) = finish(writer, &[])?;
            let again = File::open(&self.part.0)?;
            fs::remove_file(&self.part.0)?;
            writer = spread(file, again, create(&self.part.0)?)?;
        }
        let (file, head) = finish(writer, secrets)?;
        file.sync_all()?;
        fs::rename(&self.part.0, &self.path)?;
        Ok(Some((head, runs)))
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    options.open(path)
}

fn begin(file: File) -> io::Result<Writer<BufWriter<File>>> {
    Writer::new(BufWriter::with_capacity(BUFFER_LEN, file))
}

fn finish(writer: Writer<BufWriter<File>>, secrets: &[String]) -> io::Result<(File, Head)> {
    let (out, head) = writer.finish(secrets)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok((file, head))
}

/// A run that is read again.
struct Run {
    reader: Reader<BufReader<File>>,
    block: Block,
    number: u64,
}

impl Run {
    fn open(mut file: File) -> io::Result<Self> {
        file.rewind()?;
        let reader = Reader::new(BufReader::with_capacity(BUFFER_LEN, file));
        Ok(Self {
            reader: reader.map_err(io::Error::other)?,
            block: Block::default(),
            number: 0,
        })
    }

    /// The instant of its next request, which is put into `request`; `None` at its end.
    fn next(&mut self, request: &mut String) -> io::Result<Option<i64>> {
        if self.number == self.block.end()
            && !self
                .reader
                .next(&mut self.block)
                .map_err(io::Error::other)?
        {
            return Ok(None);
        }
        let head = self.reader.head();
        let entry = self.block.entry(self.number);
        let entry = entry.ok_or_else(|| io::Error::other("a run without its entry: a bug"))?;
        self.number += 1;
        request.clear();
        request.push_str(&head.methods[entry.method].0);
        request.push(' ');
        request.push_str(&String::from_utf8_lossy(entry.path));
        Ok(head.first_ns.checked_add_unsigned(entry.at_ns))
    }
}

/// All runs as one, in the order of their instants; of two at one instant, that of the run before.
fn merged(runs: &mut Vec<File>, into: File) -> io::Result<Writer<BufWriter<File>>> {
    let runs: io::Result<Vec<Run>> = runs.drain(..).map(Run::open).collect();
    let mut runs = runs?;
    let mut writer = begin(into)?;
    let mut requests = vec![String::new(); runs.len()];
    let mut first = BinaryHeap::new();
    for (nth, run) in runs.iter_mut().enumerate() {
        let at_ns = run.next(&mut requests[nth])?;
        first.extend(at_ns.map(|at_ns| Reverse((at_ns, nth))));
    }
    while let Some(Reverse((at_ns, nth))) = first.pop() {
        writer.push(at_ns, &requests[nth])?;
        let at_ns = runs[nth].next(&mut requests[nth])?;
        first.extend(at_ns.map(|at_ns| Reverse((at_ns, nth))));
    }
    Ok(writer)
}

/// The same with the requests of each instant spread evenly over the second after it. One reader
/// counts them while the other waits, so that it does not matter how many they are.
fn spread(file: File, again: File, into: File) -> io::Result<Writer<BufWriter<File>>> {
    let (mut ahead, mut run) = (Run::open(file)?, Run::open(again)?);
    let mut writer = begin(into)?;
    let mut request = String::new();
    let mut first = ahead.next(&mut request)?;
    while let Some(at_ns) = first {
        let mut count = 0;
        while first == Some(at_ns) {
            count += 1;
            first = ahead.next(&mut request)?;
        }
        for nth in 0..count {
            run.next(&mut request)?;
            let after_ns = i128::from(NS_PER_S) * nth / count;
            let after_ns = i64::try_from(after_ns).map_err(io::Error::other)?;
            writer.push(at_ns.saturating_add(after_ns), &request)?;
        }
    }
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes requests at these instants; reads them again, with the number of runs.
    fn sorted(instants: impl IntoIterator<Item = i64>) -> (Vec<(i64, String)>, usize) {
        written(instants, false)
    }

    fn written(
        instants: impl IntoIterator<Item = i64>,
        is_spread: bool,
    ) -> (Vec<(i64, String)>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.replay");
        let mut sorted = Sorted::new(&path);
        for (nth, at_ns) in instants.into_iter().enumerate() {
            sorted.push(at_ns, &format!("GET /{nth}")).unwrap();
        }
        let (head, runs) = sorted
            .finish(&["S".to_owned()], is_spread)
            .unwrap()
            .unwrap();
        assert_eq!(head.secrets, ["S"]);
        let names = fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), 1, "nothing else is left");
        let mut run = Run::open(File::open(path).unwrap()).unwrap();
        let (mut all, mut request) = (Vec::new(), String::new());
        while let Some(at_ns) = run.next(&mut request).unwrap() {
            all.push((at_ns, request.clone()));
        }
        assert_eq!(all.len() as u64, head.requests);
        (all, runs)
    }

    /// The same in memory, where it does not matter how many they are.
    fn expected(instants: impl IntoIterator<Item = i64>) -> Vec<(i64, String)> {
        let numbered = instants.into_iter().enumerate();
        let mut all: Vec<_> = numbered
            .map(|(nth, at_ns)| (at_ns, format!("GET /{nth}")))
            .collect();
        all.sort_by_key(|(at_ns, _)| *at_ns);
        all
    }

    #[test]
    fn a_log_that_is_nearly_in_order_is_one_run() {
        let instants = || (0..200_000).map(|n: i64| 1000 + n * 10 - n % 97 * 50);
        let (all, runs) = sorted(instants());
        assert_eq!(runs, 1);
        assert_eq!(all, expected(instants()));
    }

    #[test]
    fn clocks_that_step_back_are_sorted_all_the_same() {
        // Each 70 000 are an hour before the ones above; so many runs that some are merged early.
        let hour = 3_600_000_000_000;
        let instants = || (0..2_600_000_i64).map(|n| n * 1000 - n / 70_000 * hour);
        let (all, runs) = sorted(instants());
        assert!(runs > RUNS_MAX, "{runs}");
        assert!(all.is_sorted_by_key(|(at_ns, _)| *at_ns));
        assert_eq!(all, expected(instants()));
    }

    #[test]
    fn two_logs_one_line_of_each_in_turn_are_no_run_for_each_line() {
        let instants = || (0..400_000_i64).map(|n| n * 1000 - n % 2 * 1_000_000_000_000);
        let (all, runs) = sorted(instants());
        assert!(runs < 10, "{runs}");
        assert_eq!(all, expected(instants()));
    }

    #[test]
    fn requests_of_whole_seconds_are_spread_over_them() {
        let second = 1_000_000_000;
        let instants = [0, 0, 0, 0, second, 5 * second, 5 * second];
        let (all, _) = written(instants, true);
        let instants: Vec<i64> = all.iter().map(|(at_ns, _)| at_ns / 1_000_000).collect();
        assert_eq!(instants, [0, 250, 500, 750, 1000, 5000, 5500]);
        assert_eq!(all[6].1, "GET /6");
        // More in a second than a window or a block holds, in two runs.
        let many = (0..300_000).map(|n| second * (n % 2));
        let (all, _) = written(many, true);
        assert!(all.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(all.len(), 300_000);
        assert_eq!(all[150_000].0, second);
        assert_eq!(all[149_999].0, 149_999 * second / 150_000);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorted = Sorted::new(&folder.path().join("a.replay"));
        for n in 0..100_000 {
            sorted.push(n, "GET /").unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(sorted);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let none = Sorted::new(&folder.path().join("a.replay"));
        assert!(none.finish(&[], true).unwrap().is_none());
        let gone = Sorted::new(&folder.path().join("no/a.replay"));
        let mut gone = gone;
        gone.push(0, "GET /").unwrap();
        assert!(gone.finish(&[], false).is_err());
    }
}
