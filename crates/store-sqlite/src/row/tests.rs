use moorline_store::ReadLimit;
use moorline_store::conformance::{AT, job, record, session, sized};
use moorline_types::UnknownRecordKind;

use super::*;

const EVERYTHING: ReadLimit = ReadLimit::new(usize::MAX, usize::MAX);

/// Records of one stream whose times go to and fro.
fn some(count: u64, bytes: usize) -> Vec<Record> {
    let made = |seq: u64| {
        let kind = if seq.is_multiple_of(7) { RecordKind::JobStarted } else { RecordKind::JobEvent };
        let at = Timestamp::from_unix_millis(AT.as_unix_millis() + (seq * 977) % 400 - 200);
        Record { at, kind, ..sized(job(1), seq, bytes) }
    };
    (1..=count).map(made).collect()
}

fn read(row: Row<'_>, from: u64, limit: ReadLimit) -> (Vec<Record>, bool) {
    let run = Run::of(row, Some(row.sum())).unwrap();
    let mut records = Vec::new();
    let is_whole = run.take_from(Offset::new(from), &mut limit.budget(), &mut records).unwrap();
    (records.iter().map(|record| Record::clone(record)).collect(), is_whole)
}

#[test]
fn a_batch_is_divided_where_the_stream_changes_and_where_a_row_is_full() {
    let of_job = |seqs: std::ops::RangeInclusive<u64>, bytes| seqs.map(move |seq| sized(job(1), seq, bytes));
    for (what, records, lengths) in [
        ("nothing", vec![], vec![]),
        ("one", vec![record(job(1), 1)], vec![1]),
        ("one stream", of_job(1..=9, 0).collect(), vec![9]),
        ("streams in turn", vec![record(job(1), 1), record(session(1), 1), record(job(1), 2)], vec![1, 1, 1]),
        ("stream after stream", of_job(1..=3, 0).chain([record(job(2), 1), record(job(2), 2)]).collect(), vec![3, 2]),
        ("many", of_job(1..=1100, 0).collect(), vec![512, 512, 76]),
        ("large", of_job(1..=5, 30_000).collect(), vec![2, 2, 1]),
        ("just full", of_job(1..=5, MAX_BYTES / 2).collect(), vec![2, 2, 1]),
        ("too large for any row", of_job(1..=3, 2 * MAX_BYTES).collect(), vec![1, 1, 1]),
        (
            "one too large among small ones",
            of_job(1..=2, 0).chain(of_job(3..=3, MAX_BYTES)).chain(of_job(4..=5, 0)).collect(),
            vec![2, 1, 2],
        ),
    ] {
        let divided: Vec<_> = runs(&records).map(<[Record]>::len).collect();
        assert_eq!(divided, lengths, "{what}");
        assert_eq!(runs(&records).flatten().cloned().collect::<Vec<_>>(), records, "{what}");
    }
}

#[test]
fn a_run_reads_back_from_every_record_on() {
    let mut encoder = Encoder::default();
    for records in [some(1, 0), some(2, 0), some(300, 0), some(3, 20_000)] {
        let count = records.len() as u64;
        let row = encoder.encode(&records, Offset::new(1_000)).unwrap();
        assert_eq!((row.seq.get(), row.toc.is_some()), (count, count > 1));
        let first = 1_001 - count;
        for skip in 0..=records.len() {
            let from = if skip == 0 { 0 } else { first + skip as u64 };
            assert_eq!(read(row, from, EVERYTHING), (records[skip..].to_vec(), true), "from {skip} of {count}");
        }
    }
}

#[test]
fn a_run_is_read_as_far_as_the_budget_goes() {
    let records = some(9, 100);
    let mut encoder = Encoder::default();
    let row = encoder.encode(&records, Offset::new(9)).unwrap();
    for (limit, from, taken) in [
        (ReadLimit::new(0, 0), 1, 1..2),
        (ReadLimit::new(3, 1_000), 2, 2..5),
        (ReadLimit::new(9, 250), 1, 1..3),
        (ReadLimit::new(8, 1_000), 2, 2..10),
    ] {
        let expected = records[taken.start - 1..taken.end - 1].to_vec();
        assert_eq!(read(row, from, limit), (expected, taken.end == 10), "{limit:?}");
    }
}

#[test]
fn the_bodies_of_a_run_are_lines() {
    let records: Vec<_> = (1..=3).map(|seq| record(job(1), seq)).collect();
    let mut encoder = Encoder::default();
    let row = encoder.encode(&records, Offset::new(3)).unwrap();
    let lines: Vec<_> = row.body.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines, records.iter().map(|record| &record.body[..]).collect::<Vec<_>>());
}

#[test]
fn a_bit_that_turned_anywhere_is_noticed() {
    let records = some(4, 50);
    let mut encoder = Encoder::default();
    let row = encoder.encode(&records, Offset::new(9)).unwrap();
    let sum = row.sum();
    let (toc, body) = (row.toc.unwrap().to_vec(), row.body.to_vec());
    let turned = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    let noticed = |row: Row<'_>| matches!(Run::of(row, Some(sum)), Err(SqlError::Damaged { field: "sum", .. }));
    for bit in 0..8 * toc.len() {
        assert!(noticed(Row { toc: Some(&turned(&toc, bit)), ..row }), "bit {bit} of the table");
    }
    for bit in 0..8 * body.len() {
        assert!(noticed(Row { body: &turned(&body, bit), ..row }), "bit {bit} of the bodies");
    }
    assert!(noticed(Row { offset: row.offset.next(), ..row }));
    assert!(noticed(Row { seq: row.seq.next(), ..row }));
    assert!(noticed(Row { stream: job(2), ..row }));
    assert!(noticed(Row { kind: 1, ..row }));
    assert!(noticed(Row { toc: None, ..row }));
}

/// The sum is right, and so this is no accident of the disk; it is refused all the same.
#[test]
fn a_table_that_does_not_describe_the_bodies_is_damage() {
    let records = some(3, 10);
    let mut encoder = Encoder::default();
    let row = encoder.encode(&records, Offset::new(3)).unwrap();
    let toc = row.toc.unwrap().to_vec();
    let with = |toc: &[u8], body: &[u8]| {
        let row = Row { toc: Some(toc), body, ..row };
        Run::of(row, Some(row.sum())).map(drop)
    };
    assert!(with(&toc, row.body).is_ok());
    let mut joined = row.body.to_vec();
    let separator = joined.iter().position(|byte| *byte == SEPARATOR).unwrap();
    joined[separator] = b' ';
    for (what, toc, body) in [
        ("no entries", &[][..], &[][..]),
        ("cut short", &toc[..toc.len() - 1], row.body),
        ("an entry too few", &toc[..2 * toc.len() / 3], row.body),
        ("a body too short", &toc, &row.body[1..]),
        ("no separator", &toc, &joined),
        ("a length beyond everything", &[3, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], row.body),
    ] {
        assert!(matches!(with(toc, body), Err(SqlError::Damaged { field: "toc", .. })), "{what}");
    }
    let early = Row { offset: Offset::new(2), ..row };
    assert!(matches!(Run::of(early, None), Err(SqlError::Damaged { field: "toc", .. })), "more records than offsets");
}

#[test]
fn a_record_of_an_unknown_kind_is_an_error_where_it_is_and_not_before() {
    let records = some(3, 10);
    let mut encoder = Encoder::default();
    let row = encoder.encode(&records, Offset::new(3)).unwrap();
    let mut toc = row.toc.unwrap().to_vec();
    let entry = toc.len() / 3;
    toc[entry] = 200;
    let row = Row { toc: Some(&toc), ..row };
    let run = Run::of(row, Some(row.sum())).unwrap();
    let mut taken = Vec::new();
    let error = run.take_from(Offset::new(1), &mut EVERYTHING.budget(), &mut taken).unwrap_err();
    let SqlError::UnknownKind { offset, source } = error else { panic!("{error:?}") };
    assert_eq!((offset, source), (Offset::new(2), UnknownRecordKind(200)));
    assert_eq!(read(row, 3, EVERYTHING).0, records[2..]);
}
