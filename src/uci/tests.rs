//! What libuci reads, what is refused, and that all text that is printed is read back.

use alloc::string::ToString;

use super::*;
use crate::error::Argument;

/// Sections as `TYPE NAME: OPTION=VALUE|VALUE …`, which the tables below are written in.
fn shown(document: &Document) -> String {
    let mut lines = Vec::new();
    for section in &document.sections {
        let mut line =
            format!("{} {}:", section.section_type, section.name.as_deref().unwrap_or("-"));
        for option in &section.options {
            let texts = option.value.texts().iter().map(|text| text.text.as_str());
            let sign = if matches!(option.value, Value::List(_)) { "+=" } else { "=" };
            line += &format!(" {}{sign}{}", option.name, texts.collect::<Vec<_>>().join("|"));
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[test]
fn texts_are_read_as_libuci_reads_them() {
    for (text, expected) in [
        ("", ""),
        ("\n  \t\n# a comment\n   # another\r\n\r\n", ""),
        ("config a 'b'\n\toption c 'd'\n", "a b: c=d"),
        ("config a b\r\n\toption c d\r\n", "a b: c=d"),
        ("c a b\no c d\nl e f\nl e g", "a b: c=d e+=f|g"),
        ("package x\nconfig a", "a -:"),
        ("config 'a' ''\n", "a -:"),
        ("config a\nconfig a\n", "a -:\na -:"),
        ("config a b # c\noption x y#z\n", "a b: x=y"),
        ("config a\noption x '#y'\noption z \"#\"", "a -: x=#y z=#"),
        ("config a\noption x 'it'\\''s'\n", "a -: x=it's"),
        ("config a\noption x \"say \\\"\\n\\\\\"\n", "a -: x=say \"n\\"),
        ("config a\noption x 'a\\n'\n", "a -: x=a\\n"),
        ("config a\noption x a\\ b\\#c\\;d\n", "a -: x=a b#c;d"),
        ("config a\noption x one'two'\"three\"four\n", "a -: x=onetwothreefour"),
        ("config a\noption x 'one\ntwo'\n", "a -: x=one\ntwo"),
        ("config a\noption x \"one\\\ntwo\"\n", "a -: x=onetwo"),
        ("config a\noption x one\\\ntwo\n", "a -: x=onetwo"),
        ("config a\noption x one\\\r\ntwo\r\n", "a -: x=onetwo"),
        ("config a\noption \\\nx one\n", "a -: x=one"),
        ("config a\noption x y\\", "a -: x=y"),
        ("config a 'b' ; option c 'd';option e f ;list g h\n", "a b: c=d e=f g+=h"),
        ("config a b ; # c\noption c d;\n", "a b: c=d"),
        ("config a\noption x ''; option y z", "a -: x= y=z"),
        ("config a\noption x\n", "a -: x="),
        ("config a\noption x 1\noption x 2\noption x ''\n", "a -: x=2"),
        ("config a\noption x 1\nlist x 2\n", "a -: x+=1|2"),
        ("config a\noption x\nlist x 2\n", "a -: x+=2"),
        ("config a\nlist x 1\nlist x 2\noption x 3\n", "a -: x=3"),
        (
            "config a b\noption x 1\noption y 1\nconfig c d\nconfig a b\noption x 2",
            "a b: x=2 y=1\nc d:",
        ),
        ("config a-b.c/d:e\n", "a-b.c/d:e -:"),
        ("config a\noption x 'größe'\n", "a -: x=größe"),
    ] {
        match parse(text.as_bytes()) {
            Ok(document) => assert_eq!(shown(&document), expected, "{text:?}"),
            Err(error) => panic!("{text:?}: {error}"),
        }
    }
}

#[test]
fn wrong_texts_are_refused_with_their_place() {
    use ErrorKind::*;
    for (text, line, column, kind) in [
        ("\n  konfig a\n", 2, 3, UnknownStatement),
        ("config'a'\n", 1, 1, UnknownStatement),
        ("option a b\n", 1, 1, OptionOutsideSection),
        ("config\n", 1, 7, MissingArgument(Argument::SectionType)),
        ("config ''\n", 1, 8, MissingArgument(Argument::SectionType)),
        ("config a\noption # x\n", 2, 8, MissingArgument(Argument::OptionName)),
        ("package\n", 1, 8, MissingArgument(Argument::PackageName)),
        ("package a.b\n", 1, 9, BadCharacter(Argument::PackageName)),
        ("config 'a b'\n", 1, 8, BadCharacter(Argument::SectionType)),
        ("config a b-c\n", 1, 10, BadCharacter(Argument::SectionName)),
        ("config a\noption b-c d\n", 2, 8, BadCharacter(Argument::OptionName)),
        ("config a b c\n", 1, 12, ExtraArgument),
        ("config a\noption x y z\n", 2, 12, ExtraArgument),
        ("config a\noption x \\\n y\n", 3, 2, ExtraArgument),
        ("config a\noption x 'y\noption z 'w'\n", 2, 10, UnterminatedQuote('\'')),
        ("config a\noption x 'y\n\n", 2, 10, UnterminatedQuote('\'')),
        ("config a\noption x \"y\\\"\n", 2, 10, UnterminatedQuote('"')),
        ("config a\noption x y;option z w\n", 2, 11, Separator),
        ("config a;option z w\n", 1, 9, Separator),
        ("config 'a' ; option z w\n", 1, 12, Separator),
        ("config a\noption x ; option z w\n", 2, 10, Separator),
        ("config a b ;\n", 1, 13, EmptyStatement),
        ("config a b\nconfig c b\n", 2, 10, NameOfAnotherType),
        ("config a\noption x 'y\0'\n", 2, 12, ControlCharacter('\0')),
        ("config a\roption x y\n", 1, 9, ControlCharacter('\r')),
        ("# \u{1b}[2J\n", 1, 3, ControlCharacter('\u{1b}')),
        ("# \u{85}\n", 1, 3, ControlCharacter('\u{85}')),
        ("\u{feff}config a\n", 1, 1, UnknownStatement),
    ] {
        let error = parse(text.as_bytes()).expect_err(text);
        assert_eq!(error, Error { position: Position { line, column }, kind }, "{text:?}");
    }
    let error = parse(b"config a\noption x '\xff'\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 11: this is not UTF-8 text; save the file as UTF-8"
    );
}

#[test]
fn limits_hold() {
    let kind = |text: String| parse(text.as_bytes()).map(|_| ()).map_err(|error| error.kind);
    let options = |count: usize| format!("config a\n{}", "list b c\n".repeat(count));
    assert_eq!(kind(options(limits::MAX_OPTIONS)), Ok(()));
    assert_eq!(kind(options(limits::MAX_OPTIONS + 1)), Err(ErrorKind::TooManyOptions));
    let sections = |count: usize| "config a\n".repeat(count);
    assert_eq!(kind(sections(limits::MAX_SECTIONS)), Ok(()));
    assert_eq!(kind(sections(limits::MAX_SECTIONS + 1)), Err(ErrorKind::TooManySections));
    let lines = |count: u32| "#\n".repeat(count as usize);
    assert_eq!(kind(lines(limits::MAX_LINES)), Ok(()));
    assert_eq!(kind(lines(limits::MAX_LINES) + "#"), Err(ErrorKind::TooManyLines));
    let line = |count: u32| "#".repeat(count as usize) + "\n";
    assert_eq!(kind(line(limits::MAX_LINE)), Ok(()));
    assert_eq!(kind(line(limits::MAX_LINE + 1)), Err(ErrorKind::LineTooLong));
    let octets = " \n".repeat(limits::MAX_FILE / 2 + 1);
    assert_eq!(kind(octets), Err(ErrorKind::FileTooLarge));
}

#[test]
fn positions_tell_where_things_stand() {
    let text = "config a 'b'\n\toption c 'd'\n\tlist e f\n\tlist e g\n\toption c ü d\n";
    assert!(parse(text.as_bytes()).is_err());
    let document = parse(text.replace(" d\n", "\n").as_bytes()).unwrap();
    let at = |line, column| Position { line, column };
    let section = &document.sections[0];
    assert_eq!((section.position, section.repeated_at), (at(1, 8), None));
    let c = section.option("c").unwrap();
    assert_eq!((c.position, c.repeated_at), (at(2, 9), Some(at(5, 9))));
    let e = section.option("e").unwrap();
    assert_eq!((e.position, e.value.texts()[1].position), (at(3, 7), at(4, 9)));
    assert_eq!(c.value.texts()[0].position, at(5, 11));
}

#[test]
fn a_document_is_built_and_printed_as_uci_prints_it() {
    let mut document = Document::default();
    document.section("lispguard", Some("main")).set("role", "xtr").add("eid_space", "10.0.0.0/8");
    document.sections[0].add("eid_space", "it's").set("role", "map_server");
    document.section("odd type", None);
    let printed = "config lispguard 'main'\n\tlist eid_space '10.0.0.0/8'\n\tlist eid_space \
    'it'\\''s'\n\
                   \toption role 'map_server'\n\nconfig 'odd type'\n";
    assert_eq!(document.to_string(), printed);
}

/// A small generator (xorshift64*), so that a failing seed can be run again.
struct Seed(u64);

impl Seed {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn pick(&mut self, alphabet: &str, min: usize, max: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        let len = min + self.below(max - min + 1);
        (0..len).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    fn document(&mut self) -> Document {
        const NAME: &str = "abcXYZ019_";
        const VALUE: &str = "ab '\"\\#;\n\t$`ü☃/:=-";
        let mut document = Document::default();
        if self.below(3) == 0 {
            document.package = Some(self.pick("abc_-9", 1, 5));
        }
        for place in 0..self.below(5) {
            let section_type = self.pick("ab'\"\\#;$-_./", 1, 6);
            let name = format!("{}{place}", self.pick(NAME, 0, 3));
            let section = document.section(&section_type, (place % 2 == 0).then_some(&name));
            for _ in 0..self.below(6) {
                let (name, value) = (self.pick(NAME, 1, 2), self.pick(VALUE, 0, 12));
                let has_value =
                    section.option(&name).is_none_or(|o| !o.value.texts()[0].text.is_empty());
                if self.below(2) == 0 || !has_value {
                    section.set(&name, &value);
                } else {
                    section.add(&name, &value);
                }
            }
        }
        document
    }
}

#[test]
fn what_is_printed_is_read_back() {
    let mut seed = Seed(0x5eed);
    for round in 0..5000 {
        let document = seed.document();
        let printed = document.to_string();
        assert_eq!(parse(printed.as_bytes()), Ok(document), "round {round}: {printed}");
    }
}

#[test]
fn mutated_texts_neither_panic_nor_read_back_differently() {
    const PIECES: [&str; 18] = [
        "'", "\"", "\\", "\n", "\r\n", "#", ";", " ", "\t", "config ", "option ", "list ",
        "package ", "x", "\0", "\u{e9}", "''", "\\\n",
    ];
    let mut seed = Seed(0xfeed);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut octets = seed.document().to_string().into_bytes();
        for _ in 0..=seed.below(4) {
            let at = seed.below(octets.len() + 1);
            let until = (at + seed.below(4)).min(octets.len());
            let piece = match seed.below(8) {
                0 => vec![seed.below(256) as u8],
                _ => PIECES[seed.below(PIECES.len())].as_bytes().to_vec(),
            };
            octets.splice(at..until, piece);
        }
        if let Ok(document) = parse(&octets) {
            accepted += 1;
            let printed = document.to_string();
            assert_eq!(parse(printed.as_bytes()), Ok(document), "{octets:?}\n{printed}");
        }
    }
    assert!(accepted > 1000, "the mutations leave too little to read: {accepted}");
}
