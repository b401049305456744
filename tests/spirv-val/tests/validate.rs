//! The validator accepts what is right, names what is wrong, and is new enough.

use drift_spirv_val::{Env, validate_spirv, validate_spirv_bytes};
use spirv_tools::TargetEnv;
use spirv_tools::assembler::{Assembler, AssemblerOptions, create};

/// One invocation adds two f16 16x16 matrices product-wise: all that a matmul kernel declares.
const COOPERATIVE: &str = r#"
    OpCapability Shader
    OpCapability Float16
    OpCapability VulkanMemoryModel
    OpCapability CooperativeMatrixKHR
    OpExtension "SPV_KHR_cooperative_matrix"
    OpMemoryModel Logical Vulkan
    OpEntryPoint GLCompute %main "main"
    OpExecutionMode %main LocalSize 32 1 1
    %void = OpTypeVoid
    %fn = OpTypeFunction %void
    %half = OpTypeFloat 16
    %uint = OpTypeInt 32 0
    %subgroup = OpConstant %uint 3
    %dim = OpConstant %uint 16
    %use_a = OpConstant %uint 0
    %use_b = OpConstant %uint 1
    %use_acc = OpConstant %uint 2
    %one = OpConstant %half 1
    %a = OpTypeCooperativeMatrixKHR %half %subgroup %dim %dim %use_a
    %b = OpTypeCooperativeMatrixKHR %half %subgroup %dim %dim %use_b
    %c = OpTypeCooperativeMatrixKHR %half %subgroup %dim %dim %use_acc
    %a1 = OpConstantComposite %a %one
    %b1 = OpConstantComposite %b %one
    %c1 = OpConstantComposite %c %one
    %main = OpFunction %void None %fn
    %entry = OpLabel
    %d = OpCooperativeMatrixMulAddKHR %c %a1 %b1 %c1
    OpReturn
    OpFunctionEnd
"#;

fn assemble(text: &str) -> Vec<u32> {
    let binary = create(Some(TargetEnv::Vulkan_1_3))
        .assemble(text, AssemblerOptions::default())
        .expect("the text is SPIR-V assembly");
    let words: &[u32] = binary.as_ref();
    words.to_vec()
}

#[test]
fn knows_cooperative_matrices() {
    let words = assemble(COOPERATIVE);
    assert_eq!(validate_spirv(&words, Env::Vulkan13), Ok(()));
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(validate_spirv_bytes(&bytes, Env::Vulkan13), Ok(()));
}

#[test]
fn names_a_missing_capability() {
    let words = assemble(&COOPERATIVE.replace("OpCapability CooperativeMatrixKHR", ""));
    let error = validate_spirv(&words, Env::Vulkan13).unwrap_err();
    assert!(error.contains("CooperativeMatrixKHR"), "{error}");
}

#[test]
fn a_mismatched_matrix_shape_is_an_error() {
    let text = COOPERATIVE.replace(
        "%c = OpTypeCooperativeMatrixKHR %half %subgroup %dim %dim",
        "%eight = OpConstant %uint 8\n%c = OpTypeCooperativeMatrixKHR %half %subgroup %dim %eight",
    );
    let error = validate_spirv(&assemble(&text), Env::Vulkan13).unwrap_err();
    assert!(error.contains("Cooperative matrix"), "{error}");
}

#[test]
fn the_environment_limits_the_version() {
    // Assembled as SPIR-V 1.6, which Vulkan 1.1 does not take.
    let error = validate_spirv(&assemble(COOPERATIVE), Env::Vulkan11).unwrap_err();
    assert!(error.contains("1.6") || error.contains("version"), "{error}");
}

#[test]
fn what_is_not_a_module_is_refused() {
    assert!(validate_spirv(&[], Env::Vulkan11).unwrap_err().contains("header"));
    assert!(validate_spirv(&[1; 5], Env::Vulkan11).is_err());
    assert!(validate_spirv_bytes(&[0; 21], Env::Vulkan11).unwrap_err().contains("21 bytes"));
}
