use std::collections::HashMap;

use candle_core::DType;

/// Most objects of a pickle; a state dict has some twenty for each tensor.
const MOST_OBJECTS: usize = 1 << 22;

/// What to do with a file that holds more than tensors.
pub(super) const SAVE_TENSORS: &str =
    "if you trust the file, save its state dict alone in Python: `torch.save(model.state_dict(), \"weights.pth\")`";

/// Where an object stands in a [`Pickle`].
pub(super) type Id = usize;

/// What a pickle of tensors is made of. Objects name others by their place, so that neither many names for one object nor
/// objects inside each other, however deep, take memory or stack.
#[derive(Debug)]
pub(super) enum Object {
    /// None, a number that is not whole, and whatever no tensor needs.
    Nothing,
    Bool(bool),
    Int(i128),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Import(Import),
    /// What calling an import with a tuple gives.
    Call(Import, Vec<Id>),
    /// What is kept outside the pickle, as the file describes it.
    Outside(Id),
}

/// What a pickle may import: no other name is one of a state dict. Nothing is ever run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Import {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    /// Storage of numbers of this type; booleans are bytes.
    Storage(DType),
}

impl Import {
    fn of(module: &str, name: &str) -> Result<Self, String> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch", "FloatStorage") => Self::Storage(DType::F32),
            ("torch", "DoubleStorage") => Self::Storage(DType::F64),
            ("torch", "HalfStorage") => Self::Storage(DType::F16),
            ("torch", "BFloat16Storage") => Self::Storage(DType::BF16),
            ("torch", "ByteStorage" | "BoolStorage") => Self::Storage(DType::U8),
            ("torch", "ShortStorage") => Self::Storage(DType::I16),
            ("torch", "IntStorage") => Self::Storage(DType::I32),
            ("torch", "LongStorage") => Self::Storage(DType::I64),
            _ if module.starts_with("__torch__") => {
                return Err(format!(
                    "it is a compiled program (TorchScript), not a state dict; {SAVE_TENSORS}"
                ));
            }
            _ => {
                let wanted = htl_vocabulary::readable(&format!("{module}.{name}"));
                return Err(format!(
                    "the file wants to run `{wanted}`, which no state dict needs, so it is not read; {SAVE_TENSORS}"
                ));
            }
        })
    }
}

/// A pickle's objects.
#[derive(Debug)]
pub(super) struct Pickle {
    objects: Vec<Object>,
    /// The outermost.
    pub root: Id,
}

impl Pickle {
    /// Reads the pickle that `bytes` begin with, and moves them behind it.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn read(bytes: &mut &[u8]) -> Result<Self, String> {
        let mut machine = Machine {
            bytes,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self {
            objects: machine.objects,
            root,
        })
    }

    pub fn get(&self, id: Id) -> &Object {
        self.objects.get(id).unwrap_or(&Object::Nothing)
    }

    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let items = match self.get(id) {
            Object::Tuple(items) | Object::List(items) => items,
            Object::Call(Import::Size, arguments) => return self.sizes(*arguments.first()?),
            _ => return None,
        };
        items.iter().map(|item| self.size(*item)).collect()
    }
}

/// The stack machine that a pickle is a program for (Python's `pickletools` describes it), with the operations that
/// `torch.save` writes.
struct Machine<'a, 'b> {
    bytes: &'a mut &'b [u8],
    objects: Vec<Object>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl<'b> Machine<'_, 'b> {
    /// One operation; false for the last.
    fn step(&mut self) -> Result<bool, String> {
        let operation = self.byte()?;
        match operation {
            b'.' => return Ok(false),
            // Protocol and frame: nothing follows from them.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'N' => self.push(Object::Nothing)?,
            0x88 => self.push(Object::Bool(true))?,
            0x89 => self.push(Object::Bool(false))?,
            b'G' => {
                self.take(8)?;
                self.push(Object::Nothing)?;
            }
            b'K' => self.whole(1)?,
            b'M' => self.whole(2)?,
            b'J' => {
                let value = self.unsigned(4)? as u32;
                self.push(Object::Int(i128::from(value as i32)))?;
            }
            0x8a => self.long()?,
            b'X' | b'T' => self.string(4)?,
            0x8c | b'U' => self.string(1)?,
            0x8d => self.string(8)?,
            b')' => self.push(Object::Tuple(Vec::new()))?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.above_mark()?;
                self.push(Object::Tuple(items))?;
            }
            b']' => self.push(Object::List(Vec::new()))?,
            b'l' => {
                let items = self.above_mark()?;
                self.push(Object::List(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.above_mark()?;
                self.append(items)?;
            }
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b'd' => {
                let items = self.above_mark()?;
                self.push(Object::Dict(Vec::new()))?;
                self.set(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.above_mark()?;
                self.set(items)?;
            }
            b'q' => {
                let at = self.unsigned(1)?;
                self.remember(at)?;
            }
            b'r' => {
                let at = self.unsigned(4)?;
                self.remember(at)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let at = self.unsigned(1)?;
                self.recall(at)?;
            }
            b'j' => {
                let at = self.unsigned(4)?;
                self.recall(at)?;
            }
            b'c' | b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Import(Import::of(&module, &name)?))?;
                if operation == b'i' {
                    return Err("it makes objects of a kind that no state dict holds".to_owned());
                }
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let text = |id: Id| match self.objects.get(id) {
                    Some(Object::Text(text)) => Ok(text.as_str()),
                    _ => Err("it imports something without a name".to_owned()),
                };
                let import = Import::of(text(module)?, text(name)?)?;
                self.push(Object::Import(import))?;
            }
            b'R' | 0x81 => self.call()?,
            b'b' => self.build()?,
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Outside(id))?;
            }
            _ => {
                return Err(format!(
                    "its pickle holds operation {operation:#04x}, which no state dict does"
                ));
            }
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], String> {
        let cut = || "it ends in the middle of its pickle: fetch or copy it again".to_owned();
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(cut)?;
        *self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.unsigned(1)? as u8)
    }

    /// A number of so many bytes, the lowest first.
    fn unsigned(&mut self, count: usize) -> Result<usize, String> {
        let bytes = self.take(count)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | usize::from(*byte)))
    }

    fn whole(&mut self, count: usize) -> Result<(), String> {
        let value = self.unsigned(count)?;
        self.push(Object::Int(value as i128))
    }

    /// A number of as many bytes as the first says, the lowest first, the highest with the sign.
    fn long(&mut self) -> Result<(), String> {
        let count = self.unsigned(1)?;
        if count > 15 {
            return Err("it holds a number that is too large for a state dict".to_owned());
        }
        let bytes = self.take(count)?;
        let value = bytes
            .iter()
            .rev()
            .fold(0i128, |value, byte| value << 8 | i128::from(*byte));
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        self.push(Object::Int(if negative { value - (1 << (8 * count)) } else { value }))
    }

    fn string(&mut self, count: usize) -> Result<(), String> {
        let length = self.unsigned(count)?;
        let text = String::from_utf8(self.take(length)?.to_vec());
        self.push(Object::Text(
            text.map_err(|_| "it holds a name that is not UTF-8".to_owned())?,
        ))
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.map_or(usize::MAX, |end| end + 1))?;
        Ok(String::from_utf8_lossy(&line[..line.len() - 1])
            .trim_end_matches('\r')
            .to_owned())
    }

    fn push(&mut self, object: Object) -> Result<(), String> {
        if self.objects.len() == MOST_OBJECTS {
            return Err(format!(
                "its pickle has more than {MOST_OBJECTS} objects, which no state dict has"
            ));
        }
        self.stack.push(self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    /// The topmost of the stack that no mark is above.
    fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or_default();
        let above = self.stack.len() > floor;
        above.then(|| self.stack.pop()).flatten().ok_or_else(damaged)
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn top(&mut self) -> Result<&mut Object, String> {
        let id = *self.stack.last().ok_or_else(damaged)?;
        self.objects.get_mut(id).ok_or_else(damaged)
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<Id>, String>>()?;
        items.reverse();
        self.push(Object::Tuple(items))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        match self.top()? {
            Object::List(list) => list.extend(items),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Result<(), String> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(damaged());
        };
        match self.top()? {
            Object::Dict(dict) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn remember(&mut self, at: usize) -> Result<(), String> {
        let id = *self.stack.last().ok_or_else(damaged)?;
        self.memo.insert(at, id);
        Ok(())
    }

    fn recall(&mut self, at: usize) -> Result<(), String> {
        self.stack.push(*self.memo.get(&at).ok_or_else(damaged)?);
        // Recalled objects take no memory but on the stack.
        match self.stack.len() > MOST_OBJECTS {
            true => Err(damaged()),
            false => Ok(()),
        }
    }

    fn call(&mut self) -> Result<(), String> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let arguments = match self.objects.get(arguments) {
            Some(Object::Tuple(items)) => items.clone(),
            _ => return Err(damaged()),
        };
        match self.objects.get(callable) {
            Some(Object::Import(Import::OrderedDict)) if arguments.is_empty() => self.push(Object::Dict(Vec::new())),
            Some(Object::Import(import)) => self.push(Object::Call(*import, arguments)),
            _ => Err("it runs something that is not a name".to_owned()),
        }
    }

    /// Sets attributes, which only dictionaries of a state dict have (`_metadata`, versions of layers): they are left out.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.top()? {
            Object::Dict(_) => Ok(()),
            _ => Err("it sets attributes of an object that no state dict holds".to_owned()),
        }
    }
}

fn damaged() -> String {
    "its pickle is damaged: fetch or copy it again".to_owned()
}
