//! Stores the answers of a DNS response.
//!
//! In:  answers.
//! Out: the same, with a name that the record before or the record itself has written once.
//! Not: the other fields of a response.
//!
//! The owner of a record is most often the owner or the target of the record before. In a response that is made to be expensive,
//! 80 records of 14 bytes each have two names of 255 bytes.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde::ser::SerializeSeq as _;

use super::fact::Answer;
use super::fact::AnswerData;
use crate::base::HostName;

/// Answers for which room is made before they are read: a length in a file may be false.
const ROOM: usize = 64;

/// A name, or where it was before. The variants are numbered in this order.
#[derive(Serialize, Deserialize)]
enum StoredName<T> {
    Written(T),
    /// The owner of the record before; as data, of the same record.
    Owner,
    /// The name in the data of the record before.
    Target,
}

#[derive(Serialize, Deserialize)]
enum StoredData<T, D> {
    Name(StoredName<T>),
    Other(D),
}

#[derive(Serialize, Deserialize)]
struct StoredAnswer<T, D> {
    owner: StoredName<T>,
    kind: u16,
    ttl: u32,
    data: StoredData<T, D>,
}

/// The name in the data of a record.
fn target(answer: &Answer) -> Option<&HostName> {
    match &answer.data {
        AnswerData::Name(name) => Some(name),
        _ => None,
    }
}

fn stored<'a>(
    name: &'a HostName,
    owner: Option<&HostName>,
    target: Option<&HostName>,
) -> StoredName<&'a HostName> {
    if owner == Some(name) {
        StoredName::Owner
    } else if target == Some(name) {
        StoredName::Target
    } else {
        StoredName::Written(name)
    }
}

pub(super) fn serialize<S: Serializer>(answers: &[Answer], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(answers.len()))?;
    let mut before: Option<&Answer> = None;
    for answer in answers {
        let target_before = before.and_then(target);
        let data = match &answer.data {
            AnswerData::Name(name) => StoredData::Name(stored(name, Some(&answer.owner), target_before)),
            other => StoredData::Other(other),
        };
        sequence.serialize_element(&StoredAnswer {
            owner: stored(&answer.owner, before.map(|before| &before.owner), target_before),
            kind: answer.kind,
            ttl: answer.ttl,
            data,
        })?;
        before = Some(answer);
    }
    sequence.end()
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Answer>, D::Error> {
    deserializer.deserialize_seq(AnswersVisitor)
}

struct AnswersVisitor;

impl<'de> Visitor<'de> for AnswersVisitor {
    type Value = Vec<Answer>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("answers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Answer>, A::Error> {
        let mut answers: Vec<Answer> = Vec::with_capacity(sequence.size_hint().unwrap_or_default().min(ROOM));
        while let Some(StoredAnswer { owner, kind, ttl, data }) =
            sequence.next_element::<StoredAnswer<HostName, AnswerData>>()?
        {
            let before = answers.last();
            let target_before = before.and_then(target);
            let owner = read(owner, before.map(|before| &before.owner), target_before)?;
            let data = match data {
                StoredData::Name(name) => AnswerData::Name(read(name, Some(&owner), target_before)?),
                StoredData::Other(data) => data,
            };
            answers.push(Answer { owner, kind, ttl, data });
        }
        Ok(answers)
    }
}

fn read<E: serde::de::Error>(
    stored: StoredName<HostName>,
    owner: Option<&HostName>,
    target: Option<&HostName>,
) -> Result<HostName, E> {
    let name = match stored {
        StoredName::Written(name) => Some(name),
        StoredName::Owner => owner.cloned(),
        StoredName::Target => target.cloned(),
    };
    name.ok_or_else(|| E::custom("no name before"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;

    #[derive(Serialize, Deserialize)]
    struct Stored(#[serde(with = "super")] Vec<Answer>);

    fn name(text: &str) -> HostName {
        HostName::from_wire_text(text.as_bytes()).unwrap()
    }

    fn answer(owner: &str, data: AnswerData) -> Answer {
        Answer { owner: name(owner), kind: 1, ttl: 60, data }
    }

    /// Stores answers in this many bytes, and reads the same.
    fn check(answers: Vec<Answer>, len: usize) {
        let bytes = postcard::to_allocvec(&Stored(answers.clone())).unwrap();
        assert_eq!(bytes.len(), len);
        let Stored(read) = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(read, answers);
    }

    #[test]
    fn a_name_that_was_just_there_is_not_written_again() {
        let address = AnswerData::Address(Address::v4([1, 2, 3, 4]));
        let alias = |text: &str| AnswerData::Name(name(text));
        check(Vec::new(), 1);
        let len = |answers: Vec<Answer>| postcard::to_allocvec(&Stored(answers)).unwrap().len();
        let one = len(vec![answer("a.example", address.clone())]);
        check(vec![answer("a.example", address.clone()); 2], 2 * one - 1 - 10);
        // A chain: each name once.
        let chain = vec![
            answer("a.example", alias("b.example")),
            answer("b.example", alias("c.example")),
            answer("c.example", address.clone()),
        ];
        let alone: usize = chain.iter().map(|one| len(vec![one.clone()]) - 1).sum();
        check(chain, 1 + alone - 2 * 10);
        // An alias of itself, and one of the alias before.
        let odd = vec![answer("a.example", alias("a.example")), answer("x.example", alias("a.example"))];
        check(odd, 1 + 2 * (1 + 10 + 1 + 1 + 1 + 1));
    }

    #[test]
    fn a_name_that_was_not_there_is_an_error() {
        // One answer whose owner is that of the record before.
        assert!(postcard::from_bytes::<Stored>(&[1, 1, 1, 60, 0, 0, 1, b'a']).is_err());
        assert!(postcard::from_bytes::<Stored>(&[1, 2, 1, 60, 0, 0, 1, b'a']).is_err());
    }
}
