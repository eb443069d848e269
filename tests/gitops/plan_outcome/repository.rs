//! Repositories: what they want, what is wrong with them, and the files that say so.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::objects::{NAMESPACE, Shape, Subject, manifest};

/// What may be wrong with an object of a repository, or with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Its text is no YAML.
    Broken(Subject),
    KindTypo(Subject),
    UnknownField(Subject),
    WrongType(Subject),
    BadValue(Subject),
    /// Declared again elsewhere.
    Twice(Subject),
    /// In a namespace that nobody makes.
    Astray(Subject),
    EmptyFile(usize),
    /// A link that leads nowhere, so that not everything can be read.
    Link,
    /// A file of its own without any object.
    Junk,
}

impl Fault {
    fn subject(self) -> Option<Subject> {
        match self {
            Self::Broken(subject)
            | Self::KindTypo(subject)
            | Self::UnknownField(subject)
            | Self::WrongType(subject)
            | Self::BadValue(subject)
            | Self::Twice(subject)
            | Self::Astray(subject) => Some(subject),
            Self::EmptyFile(_) | Self::Link | Self::Junk => None,
        }
    }
}

const FILES: usize = 5;

/// A repository at one moment.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    wanted: BTreeMap<Subject, (Shape, usize)>,
    faults: Vec<Fault>,
    /// For what does not change the meaning: order and form.
    form: u64,
}

impl Repository {
    /// What it is after a commit.
    pub fn next(&self, random: &mut StdRng) -> Repository {
        let mut wanted = BTreeMap::new();
        let arriving = *[0.03, 0.1, 0.3].choose(random).expect("some");
        let leaving = *[0.05, 0.2, 0.95].choose(random).expect("some");
        for subject in Subject::all() {
            let before = self.wanted.get(&subject);
            let likely = if subject.kind == NAMESPACE { 0.5 } else { arriving };
            let now = match before {
                None if random.random_bool(likely) => Some((shape(random), random.random_range(0..FILES))),
                Some(_) if random.random_bool(leaving) => None,
                Some((shape, file)) => Some((change(*shape, random), *file)),
                None => None,
            };
            if let Some((shape, mut file)) = now {
                if random.random_bool(0.1) {
                    file = random.random_range(0..FILES);
                }
                wanted.insert(subject, (shape, file));
            }
        }
        let subjects: Vec<Subject> = wanted.keys().copied().collect();
        let count = *[0, 0, 0, 1, 1, 2, 4].choose(random).expect("some");
        let faults = (0..count).filter_map(|_| fault(&subjects, random)).collect();
        Repository {
            wanted,
            faults,
            form: random.random(),
        }
    }

    /// Whether it names this object, readably or not, right or wrong: then it must not be deleted.
    pub fn names(&self, key: &str) -> bool {
        self.wanted.iter().any(|(subject, (_, file))| {
            subject.key() == key
                && !self.faults.contains(&Fault::Astray(*subject))
                && !self.faults.contains(&Fault::EmptyFile(*file))
        })
    }

    /// What is wanted and faultless.
    pub fn right(&self) -> impl Iterator<Item = (Subject, Value)> {
        let wrong: BTreeSet<Subject> = self.faults.iter().filter_map(|fault| fault.subject()).collect();
        self.wanted
            .iter()
            .filter(move |(subject, (_, file))| {
                !wrong.contains(subject) && !self.faults.contains(&Fault::EmptyFile(*file))
            })
            .map(|(subject, (shape, _))| (*subject, manifest(subject, *shape)))
    }

    /// Whether a link that leads nowhere is among its files.
    pub fn has_link(&self) -> bool {
        self.faults.contains(&Fault::Link)
    }

    /// The files, by name.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut random = StdRng::seed_from_u64(self.form);
        let mut documents: BTreeMap<usize, Vec<(String, Option<Value>)>> = BTreeMap::new();
        for (subject, (shape, file)) in &self.wanted {
            let mut object = manifest(subject, *shape);
            let mut broken = false;
            for fault in self.faults.iter().filter(|fault| fault.subject() == Some(*subject)) {
                match fault {
                    Fault::Broken(_) => broken = true,
                    Fault::KindTypo(_) => object["kind"] = json!(format!("{}x", subject.kind.name)),
                    Fault::UnknownField(_) => object["speck"] = json!({"a": 1}),
                    Fault::WrongType(_) => object["metadata"]["labels"] = json!({"app": 5}),
                    Fault::BadValue(_) => object["metadata"]["labels"] = json!({"app": "no label!"}),
                    Fault::Astray(_) => object["metadata"]["namespace"] = json!("nowhere"),
                    Fault::Twice(_) => {
                        let other = (manifest(subject, self::shape(&mut random)), (file + 1) % FILES);
                        documents
                            .entry(other.1)
                            .or_default()
                            .push((yaml(&other.0), Some(other.0)));
                    }
                    Fault::EmptyFile(_) | Fault::Link | Fault::Junk => {}
                }
            }
            let document = match broken {
                true => (format!("{}oops: [\n", yaml(&object)), None),
                false => (yaml(&object), Some(object)),
            };
            documents.entry(*file).or_default().push(document);
        }
        let mut files: BTreeMap<String, String> = documents
            .into_iter()
            .map(|(number, documents)| file(number, documents, &mut random))
            .collect();
        for fault in &self.faults {
            match fault {
                Fault::EmptyFile(number) => {
                    for (name, text) in &mut files {
                        if name.starts_with(&format!("file-{number}.")) {
                            text.clear();
                        }
                    }
                }
                Fault::Junk => {
                    files.insert("junk.yaml".into(), "a: [\n".into());
                }
                _ => {}
            }
        }
        files
    }
}

/// A file of several documents, or a list.
fn file(number: usize, documents: Vec<(String, Option<Value>)>, random: &mut StdRng) -> (String, String) {
    let objects: Option<Vec<&Value>> = documents.iter().map(|(_, object)| object.as_ref()).collect();
    let list = objects.map(|items| json!({"apiVersion": "v1", "kind": "List", "items": items}));
    let text = match list.filter(|_| random.random_bool(0.4)) {
        Some(list) => yaml(&list),
        None => {
            let texts: Vec<String> = documents.into_iter().map(|(text, _)| text).collect();
            texts.join("---\n")
        }
    };
    (format!("file-{number}.yaml"), text)
}

fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).expect("JSON can be written as YAML")
}

fn shape(random: &mut StdRng) -> Shape {
    Shape {
        labels: random.random_range(0..3),
        data: random.random_range(0..3),
        fixed: random.random_range(0..3),
        image: random.random_range(0..2),
    }
}

fn change(mut shape: Shape, random: &mut StdRng) -> Shape {
    let new = self::shape(random);
    match random.random_range(0..10) {
        0 => shape.labels = new.labels,
        1 => shape.data = new.data,
        2 => shape.fixed = new.fixed,
        3 => shape.image = new.image,
        4 => shape = new,
        _ => {}
    }
    shape
}

fn fault(subjects: &[Subject], random: &mut StdRng) -> Option<Fault> {
    let subject = *subjects.choose(random)?;
    Some(match random.random_range(0..10) {
        0 => Fault::Broken(subject),
        1 => Fault::KindTypo(subject),
        2 => Fault::UnknownField(subject),
        3 => Fault::WrongType(subject),
        4 => Fault::BadValue(subject),
        5 => Fault::Twice(subject),
        6 if subject.namespace.is_some() => Fault::Astray(subject),
        7 => Fault::EmptyFile(random.random_range(0..FILES)),
        8 => Fault::Link,
        _ => Fault::Junk,
    })
}
