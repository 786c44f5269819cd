//! Events of a YAML parser, put together to a tree; how large and deep that may be.

use std::collections::HashMap;

use saphyr_parser::{Event, ScalarStyle, ScanError, Span};

use super::{
    DEPTH_MAX, Key, NODES_MAX, Node, Place, Problem, Scalar, Value, not_read, place, problem,
};

const NAME_IS_TEXT: &str = "a name is a text, not a list or a map";

/// Puts events together to a tree.
#[derive(Default)]
pub(super) struct Builder {
    /// Lists and maps that are not complete, the outermost first.
    open: Vec<Open>,
    /// What aliases stand for, by the numbers of their anchors.
    anchored: HashMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

/// A list or map to which more may come.
struct Open {
    place: Place,
    anchor: usize,
    /// Nodes before it.
    nodes_before: usize,
    parts: Parts,
}

enum Parts {
    List(Vec<Node>),
    Map(Names),
}

/// The entries of a map, and the name whose value comes next.
#[derive(Default)]
struct Names {
    entries: Vec<(Key, Node)>,
    places: HashMap<String, Place>,
    next: Option<Key>,
}

impl Builder {
    pub(super) fn build<'t>(
        mut self,
        events: impl Iterator<Item = Result<(Event<'t>, Span), ScanError>>,
    ) -> Result<Node, Problem> {
        let mut documents = 0;
        for event in events {
            let (event, span) = event.map_err(|error| not_read(&error))?;
            let place = place_of(span);
            if let Event::DocumentStart(_) = event {
                documents += 1;
                if documents > 1 {
                    return Err(problem(
                        place,
                        "a second document; a test is one document, without --- in it",
                    ));
                }
            }
            self.take(event, place)?;
        }
        self.root.ok_or_else(|| {
            problem(
                Place { line: 1, column: 1 },
                "the document is empty; it needs at least a target",
            )
        })
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let scalar = Scalar {
                    text: text.into_owned(),
                    is_quoted: style != ScalarStyle::Plain,
                };
                self.count(1, place)?;
                let value = Value::Scalar(scalar);
                self.close(Node { place, value }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.begin(place, anchor, Parts::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.begin(place, anchor, Parts::Map(Names::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                // A list that holds itself has no end: it is not complete when it is named.
                let Some((node, size)) = self.anchored.get(&anchor).cloned() else {
                    return Err(problem(
                        place,
                        "this alias stands for a value that it is in",
                    ));
                };
                self.count(size, place)?;
                self.close(Node { place, ..node }, 0, size)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, more: usize, place: Place) -> Result<(), Problem> {
        self.nodes += more;
        if self.nodes > NODES_MAX {
            return Err(problem(
                place,
                format!("more than {NODES_MAX} values, aliases included; put data into files"),
            ));
        }
        Ok(())
    }

    fn begin(&mut self, place: Place, anchor: usize, parts: Parts) -> Result<(), Problem> {
        if self.open.len() >= DEPTH_MAX {
            let error = format!("more than {DEPTH_MAX} lists and maps within each other");
            return Err(problem(place, error));
        }
        let outer = self.open.last().map(|open| &open.parts);
        if matches!(outer, Some(Parts::Map(names)) if names.next.is_none()) {
            return Err(problem(place, NAME_IS_TEXT));
        }
        let nodes_before = self.nodes;
        self.count(1, place)?;
        self.open.push(Open {
            place,
            anchor,
            nodes_before,
            parts,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let open = self.open.pop().expect("invariant: what ends has begun");
        let value = match open.parts {
            Parts::List(nodes) => Value::List(nodes),
            Parts::Map(names) => Value::Map(names.entries),
        };
        let size = self.nodes - open.nodes_before;
        let place = open.place;
        self.close(Node { place, value }, open.anchor, size)
    }

    /// Puts a complete node to where it belongs.
    fn close(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), Problem> {
        if anchor > 0 {
            self.anchored.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.parts) {
            None => self.root = Some(node),
            Some(Parts::List(nodes)) => nodes.push(node),
            Some(Parts::Map(names)) => names.take(node)?,
        }
        Ok(())
    }
}

impl Names {
    /// Takes a name, or the value of the name that came before.
    fn take(&mut self, node: Node) -> Result<(), Problem> {
        if let Some(key) = self.next.take() {
            self.entries.push((key, node));
            return Ok(());
        }
        let place = node.place;
        let Value::Scalar(Scalar { text: name, .. }) = node.value else {
            return Err(problem(place, NAME_IS_TEXT));
        };
        if let Some(first) = self.places.insert(name.clone(), place) {
            let error = format!("{name} is given twice, first at {first}");
            return Err(problem(place, error));
        }
        self.next = Some(Key { name, place });
        Ok(())
    }
}

fn place_of(span: Span) -> Place {
    place(span.start.line(), span.start.col())
}
