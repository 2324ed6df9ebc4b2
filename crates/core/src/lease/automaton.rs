//! The automaton of a pattern: its language, as states and steps over bytes.
//!
//! A state goes to the next one by one byte, or stays where it is by any byte of a class, or skips to the next state, or
//! over it, by none. So there are not many more states than the pattern has bytes, all edges lead forward, and a set of
//! states is a few machine words. Whether a text is in the language is one pass over the text, with all states at once; whether one
//! language is in another is a walk over pairs of a state of the one and a set of states of the other. Neither goes
//! back.

use std::collections::HashSet;

/// Which bytes a wildcard stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) slash: bool,
    pub(super) question: bool,
}

impl Class {
    /// Every byte.
    pub(super) const ANY: Self = Self { slash: true, question: true };

    const fn contains(self, byte: u8) -> bool {
        match byte {
            b'/' => self.slash,
            b'?' => self.question,
            _ => true,
        }
    }
}

/// One piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// This byte.
    Byte(u8),
    /// Any run of bytes of the class.
    Run(Class),
    /// Nothing, or this byte and any run of the class.
    After(u8, Class),
    /// Nothing, or any run of the class and this byte.
    Before(Class, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    /// Goes on to the next state by this byte.
    byte: Option<u8>,
    /// Stays by these bytes.
    stay: Option<Class>,
    /// Goes on to the next state by no byte at all.
    skip: bool,
    /// Goes on to the state after the next one by no byte at all.
    skip_two: bool,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Automaton {
    /// The last state is where the text must end.
    states: Vec<State>,
}

/// What a question of inclusion may cost before it is answered with no. Counted in steps from a pair of states by one
/// byte.
pub(super) type Steps = u32;

impl Automaton {
    pub(super) fn new(pieces: &[Piece]) -> Self {
        let mut states = Vec::with_capacity(pieces.len() + 1);
        for piece in pieces {
            match *piece {
                Piece::Byte(byte) => states.push(State { byte: Some(byte), ..State::default() }),
                Piece::Run(class) => states.push(State { stay: Some(class), skip: true, ..State::default() }),
                Piece::After(byte, class) => {
                    states.push(State { byte: Some(byte), skip_two: true, ..State::default() });
                    states.push(State { stay: Some(class), skip: true, ..State::default() });
                }
                Piece::Before(class, byte) => {
                    states.push(State { skip: true, skip_two: true, ..State::default() });
                    states.push(State { stay: Some(class), byte: Some(byte), ..State::default() });
                }
            }
        }
        states.push(State::default());
        Self { states }
    }

    /// Whether the text is in the language.
    pub(super) fn accepts(&self, text: &[u8]) -> bool {
        let mut now = self.start();
        let mut next = StateSet::empty(self.states.len());
        for byte in text {
            self.step(&now, *byte, &mut next);
            if next.is_empty() {
                return false;
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.contains(self.end())
    }

    /// Whether every text of `other`'s language is in this one. `None` if that would take more than what is left of
    /// `steps`.
    pub(super) fn includes(&self, other: &Self, steps: &mut Steps) -> Option<bool> {
        let alphabet = self.alphabet(other);
        let mut seen: HashSet<(usize, StateSet)> = HashSet::new();
        let mut open: Vec<(usize, StateSet)> = Vec::new();
        let mut next = StateSet::empty(self.states.len());
        let start = self.start();
        for state in other.start().iter() {
            if seen.insert((state, start.clone())) {
                open.push((state, start.clone()));
            }
        }
        while let Some((state, mine)) = open.pop() {
            if state == other.end() && !mine.contains(self.end()) {
                return Some(false);
            }
            for byte in &alphabet {
                let reached = other.reached(state, *byte);
                if reached.is_empty() {
                    continue;
                }
                *steps = steps.checked_sub(1)?;
                self.step(&mine, *byte, &mut next);
                // From every state the end can be reached, so here is a text that is not in this language.
                if next.is_empty() {
                    return Some(false);
                }
                for state in reached.iter() {
                    if !seen.contains(&(state, next.clone())) {
                        seen.insert((state, next.clone()));
                        open.push((state, next.clone()));
                    }
                }
            }
        }
        Some(true)
    }

    /// One byte for every way in which the two tell bytes apart.
    fn alphabet(&self, other: &Self) -> Vec<u8> {
        let bytes = self.states.iter().chain(&other.states).filter_map(|state| state.byte);
        // The last one is in no text, and so in no pattern: it stands for all bytes that neither of the two names.
        let mut alphabet: Vec<u8> = bytes.chain([b'/', b'?', 0xff]).collect();
        alphabet.sort_unstable();
        alphabet.dedup();
        alphabet
    }

    fn end(&self) -> usize {
        self.states.len() - 1
    }

    fn start(&self) -> StateSet {
        let mut set = StateSet::empty(self.states.len());
        set.insert(0);
        self.close(&mut set);
        set
    }

    /// Where one state goes by a byte.
    fn reached(&self, state: usize, byte: u8) -> StateSet {
        let mut to = StateSet::empty(self.states.len());
        self.go(state, byte, &mut to);
        self.close(&mut to);
        to
    }

    /// Where a set of states goes by a byte.
    fn step(&self, from: &StateSet, byte: u8, to: &mut StateSet) {
        to.clear();
        for state in from.iter() {
            self.go(state, byte, to);
        }
        self.close(to);
    }

    fn go(&self, state: usize, byte: u8, to: &mut StateSet) {
        let Some(State { byte: by, stay, .. }) = self.states.get(state) else { return };
        if *by == Some(byte) {
            to.insert(state + 1);
        }
        if stay.is_some_and(|class| class.contains(byte)) {
            to.insert(state);
        }
    }

    /// Adds what is reached by no byte. Edges lead forward, so one pass is enough.
    fn close(&self, set: &mut StateSet) {
        let mut at = set.next(0);
        while let Some(state) = at {
            if let Some(State { skip, skip_two, .. }) = self.states.get(state) {
                if *skip {
                    set.insert(state + 1);
                }
                if *skip_two {
                    set.insert(state + 2);
                }
            }
            at = set.next(state + 1);
        }
    }
}

/// A set of states, a bit each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct StateSet(Box<[u64]>);

impl StateSet {
    fn empty(states: usize) -> Self {
        Self(vec![0; states.div_ceil(64)].into())
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn insert(&mut self, state: usize) {
        if let Some(word) = self.0.get_mut(state / 64) {
            *word |= 1 << (state % 64);
        }
    }

    fn contains(&self, state: usize) -> bool {
        self.0.get(state / 64).is_some_and(|word| word >> (state % 64) & 1 == 1)
    }

    /// The first state from `from` on.
    fn next(&self, from: usize) -> Option<usize> {
        let mut mask = u64::MAX << (from % 64);
        for (index, word) in self.0.iter().enumerate().skip(from / 64) {
            let rest = word & mask;
            if rest != 0 {
                return Some(index * 64 + rest.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.next(0), |state| self.next(state + 1))
    }
}
