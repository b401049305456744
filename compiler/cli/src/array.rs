//! Arrays in files: `.npy`, and the `.pb` tensors of ONNX test data.

use crate::error::{CliError, Result};
use drift_bundle::plan::ElemType;
use drift_runtime::OutputTensor;
use npyz::{DType, NpyFile, Order, TypeChar, WriterBuilder};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};

/// A dense row-major array, little-endian.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub elem: ElemType,
    pub shape: Vec<u64>,
    pub bytes: Vec<u8>,
}

/// Splits `NAME=FILE`; names may hold `=`, so the split is at the last one before an existing file.
pub fn name_and_file(arg: &str, option: &str) -> Result<(String, PathBuf)> {
    let splits = arg.match_indices('=').map(|(i, _)| (&arg[..i], &arg[i + 1..]));
    let mut candidates: Vec<_> = splits.filter(|(n, f)| !n.is_empty() && !f.is_empty()).collect();
    candidates.sort_by_key(|(_, f)| !Path::new(f).exists());
    match candidates.first() {
        Some((name, file)) => Ok(((*name).to_owned(), PathBuf::from(file))),
        None => Err(CliError::bad(format!("{option} {arg}: expected NAME=FILE"))),
    }
}

/// Reads an array file by its ending.
pub fn load(path: &Path) -> Result<Array> {
    let at = |e: &dyn std::fmt::Display| CliError::bad(format!("{}: {e}", path.display()));
    if path.extension().is_some_and(|e| e == "pb") {
        let bytes = std::fs::read(path).map_err(|e| at(&e))?;
        let t = drift_onnx::tensor_from_pb(bytes).map_err(|e| at(&e))?;
        let dtype = drift_driver::import::dtype_of(t.dtype, &path.display().to_string())?;
        return Ok(Array {
            elem: drift_driver::plan::elem_of(dtype),
            shape: t.dims.clone(),
            bytes: t.data.to_vec(),
        });
    }
    let file = File::open(path).map_err(|e| at(&e))?;
    let length = file.metadata().map_err(|e| at(&e))?.len();
    let npy = NpyFile::new(BufReader::new(file)).map_err(|e| at(&e))?;
    let (elem, swap) = elem_of(&npy.dtype()).map_err(|e| at(&e))?;
    let shape = npy.shape().to_vec();
    let count = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    let want = count.and_then(|n| n.checked_mul(elem.bytes()));
    // a header that promises more than the file holds must not make us allocate it
    let Some(want) = want.filter(|w| *w <= length) else {
        return Err(at(&format!("shape {shape:?} needs more bytes than the file's {length}")));
    };
    let order = npy.order();
    let mut bytes = Vec::with_capacity(want as usize);
    let mut reader = npy_body(path)?;
    reader.read_to_end(&mut bytes).map_err(|e| at(&e))?;
    if bytes.len() as u64 != want {
        return Err(at(&format!(
            "shape {shape:?} needs {want} bytes of data, there are {}",
            bytes.len()
        )));
    }
    let size = elem.bytes() as usize;
    if swap {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if order == Order::Fortran && shape.len() > 1 {
        bytes = to_row_major(&bytes, &shape, size);
    }
    Ok(Array { elem, shape, bytes })
}

/// The data of an npy file, after its header (format: magic, version, header length, header).
fn npy_body(path: &Path) -> Result<impl Read> {
    let at = |e: std::io::Error| CliError::bad(format!("{}: {e}", path.display()));
    let mut file = BufReader::new(File::open(path).map_err(at)?);
    let mut head = [0u8; 8];
    file.read_exact(&mut head).map_err(at)?;
    let length = if head[6] == 1 {
        let mut n = [0u8; 2];
        file.read_exact(&mut n).map_err(at)?;
        u64::from(u16::from_le_bytes(n))
    } else {
        let mut n = [0u8; 4];
        file.read_exact(&mut n).map_err(at)?;
        u64::from(u32::from_le_bytes(n))
    };
    std::io::copy(&mut file.by_ref().take(length), &mut std::io::sink()).map_err(at)?;
    Ok(file)
}

fn elem_of(dtype: &DType) -> Result<(ElemType, bool), String> {
    let DType::Plain(t) = dtype else {
        return Err(format!("arrays of {} are not supported", dtype.descr()));
    };
    let elem = match (t.type_char(), t.size_field()) {
        (TypeChar::Float, 2) => ElemType::F16,
        (TypeChar::Float, 4) => ElemType::F32,
        (TypeChar::Float, 8) => ElemType::F64,
        (TypeChar::Int, 1) => ElemType::I8,
        (TypeChar::Int, 2) => ElemType::I16,
        (TypeChar::Int, 4) => ElemType::I32,
        (TypeChar::Int, 8) => ElemType::I64,
        (TypeChar::Uint, 1) => ElemType::U8,
        (TypeChar::Uint, 2) => ElemType::U16,
        (TypeChar::Uint, 4) => ElemType::U32,
        (TypeChar::Uint, 8) => ElemType::U64,
        (TypeChar::Bool, 1) => ElemType::Bool,
        _ => return Err(format!("element type {t} is not supported")),
    };
    Ok((elem, t.to_string().starts_with('>')))
}

fn to_row_major(bytes: &[u8], shape: &[u64], size: usize) -> Vec<u8> {
    let mut out = vec![0; bytes.len()];
    let rank = shape.len();
    let mut coord = vec![0u64; rank];
    for chunk in out.chunks_exact_mut(size) {
        let mut from = 0;
        for axis in (0..rank).rev() {
            from = from * shape[axis] + coord[axis];
        }
        let from = from as usize * size;
        chunk.copy_from_slice(&bytes[from..from + size]);
        for axis in (0..rank).rev() {
            coord[axis] += 1;
            if coord[axis] < shape[axis] {
                break;
            }
            coord[axis] = 0;
        }
    }
    out
}

/// File name of an output: characters that file systems or shells trip over become `_`.
pub fn file_name(output: &str) -> String {
    let clean: String = output
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    let clean = clean.trim_start_matches('.');
    format!("{}.npy", if clean.is_empty() { "output" } else { clean })
}

/// Writes an output: floats as f32, integers as in the model.
pub fn save(path: &Path, tensor: &OutputTensor) -> Result {
    let at = |e: std::io::Error| CliError::bad(format!("{}: {e}", path.display()));
    let file = BufWriter::new(File::create(path).map_err(at)?);
    let shape = &tensor.shape;
    macro_rules! write {
        ($t:ty, $values:expr) => {{
            let options = npyz::WriteOptions::<$t>::new().default_dtype();
            let mut out = options.shape(shape).writer(file).begin_nd().map_err(at)?;
            out.extend($values).map_err(at)?;
            out.finish().map_err(at)
        }};
    }
    macro_rules! ints {
        ($t:ty) => {{
            const N: usize = size_of::<$t>();
            write!(
                $t,
                tensor.bytes.chunks_exact(N).map(|c| {
                    let mut b = [0u8; N];
                    b.copy_from_slice(c);
                    <$t>::from_le_bytes(b)
                })
            )
        }};
    }
    match tensor.elem {
        ElemType::F32 | ElemType::F16 | ElemType::BF16 | ElemType::F64 => {
            write!(f32, tensor.to_f32())
        }
        ElemType::I8 => ints!(i8),
        ElemType::U8 => ints!(u8),
        ElemType::I16 => ints!(i16),
        ElemType::U16 => ints!(u16),
        ElemType::I32 => ints!(i32),
        ElemType::U32 => ints!(u32),
        ElemType::I64 => ints!(i64),
        ElemType::U64 => ints!(u64),
        ElemType::Bool => write!(bool, tensor.bytes.iter().map(|b| *b != 0)),
    }
}

impl Array {
    /// Elements as f64, for comparison.
    pub fn to_f64(&self) -> Vec<f64> {
        let n = self.elem.bytes() as usize;
        self.bytes
            .chunks_exact(n)
            .map(|c| {
                let mut b = [0u8; 8];
                b[..n].copy_from_slice(c);
                let bits = u64::from_le_bytes(b);
                match self.elem {
                    ElemType::F32 => f64::from(f32::from_bits(bits as u32)),
                    ElemType::F64 => f64::from_bits(bits),
                    ElemType::F16 => half::f16::from_bits(bits as u16).to_f64(),
                    ElemType::BF16 => half::bf16::from_bits(bits as u16).to_f64(),
                    ElemType::I8 => f64::from(bits as u8 as i8),
                    ElemType::I16 => f64::from(bits as u16 as i16),
                    ElemType::I32 => f64::from(bits as u32 as i32),
                    ElemType::I64 => bits as i64 as f64,
                    ElemType::U64 => bits as f64,
                    ElemType::U8 | ElemType::U16 | ElemType::U32 | ElemType::Bool => bits as f64,
                }
            })
            .collect()
    }
}
