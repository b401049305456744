//! Chat formats from the markers of templates, and the asset they become.

use crate::common::shared;
use drift_driver::models::chat::{Turn, recognize};
use drift_driver::models::{Options, module};
use serde_json::Value;

fn turn(prefix: &str, suffix: &str) -> Turn {
    Turn { prefix: prefix.to_owned(), suffix: suffix.to_owned() }
}

#[test]
fn formats_are_recognized_by_their_markers() {
    let llama3 = "{{ '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' }}";
    let f = recognize(llama3, "<|begin_of_text|>", "<|eot_id|>").unwrap();
    assert_eq!(f.name, "llama3");
    assert_eq!(f.user, turn("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"));

    let qwen = "{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful \
                assistant.<|im_end|>\\n' }}";
    let f = recognize(qwen, "", "<|im_end|>").unwrap();
    assert_eq!(f.name, "chatml");
    assert_eq!(
        f.default_system,
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    );
    assert_eq!(f.assistant, turn("<|im_start|>assistant\n", "<|im_end|>\n"));
    // a template that only puts the person's text there has no default
    let plain = "{{ '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}";
    assert_eq!(recognize(plain, "", "").unwrap().default_system, "");

    let f = recognize("'<start_of_turn>' + role", "<bos>", "<eos>").unwrap();
    assert_eq!((f.name, f.system_in_user), ("gemma", true));
    assert_eq!(f.assistant, turn("<start_of_turn>model\n", "<end_of_turn>\n"));

    let phi3 = "{{'<|user|>' + '\\n' + message['content'] + '<|end|>' + '\\n' + '<|assistant|>'}}";
    assert_eq!(recognize(phi3, "<s>", "").unwrap().user, turn("<|user|>\n", "<|end|>\n"));
    let phi4 = "{{ '<|' + role + '|>' + content + '<|end|>' }}{{ '<|user|><|assistant|>' }}";
    assert_eq!(recognize(phi4, "", "").unwrap().user, turn("<|user|>", "<|end|>"));

    let llama2 = "{{ bos_token + '[INST] ' + '<<SYS>>\\n' + content + ' [/INST]' }}";
    let f = recognize(llama2, "<s>", "</s>").unwrap();
    assert_eq!((f.name, f.system_in_user), ("llama2", true));
    assert_eq!(f.assistant, turn(" ", " </s><s>"));
    let f = recognize("{{ '[INST] ' + content + ' [/INST]' }}", "<s>", "</s>").unwrap();
    assert_eq!((f.name, f.user), ("mistral", turn("[INST] ", " [/INST]")));
    assert_eq!(recognize("{{ messages }}", "", ""), None);
}

#[test]
fn the_asset_of_a_model_without_template() {
    let Some(folder) = shared("llm_stories260k_hf") else { return };
    let module = module(&folder, &Options::default()).unwrap();
    let names: Vec<&str> = module.assets.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["tokenizer.json", "tokenizer_config.json", "chat.json"]);
    let chat: Value = serde_json::from_slice(&module.assets[2].1).unwrap();
    assert_eq!(chat["version"], 1);
    assert_eq!(chat["model"]["context"], 512);
    assert_eq!(chat["model"]["ring"], Value::Null);
    assert_eq!(chat["tokens"]["bos"], 1);
    assert_eq!(chat["tokens"]["add_bos"], true);
    assert_eq!(chat["tokens"]["stop"], serde_json::json!([2]));
    assert_eq!(chat["generation"]["temperature"], 0.0);
    assert_eq!(chat["chat"], Value::Null);
}

#[test]
fn the_asset_of_a_chat_model() {
    let Some(model) = shared("hf_llama3_tiny") else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(model.join(name), folder.path().join(name)).unwrap();
    }
    let write = |name: &str, value: Value| {
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    };
    write(
        "generation_config.json",
        serde_json::json!({
            "bos_token_id": 1, "eos_token_id": [2, 9], "do_sample": true, "temperature": 0.6, "top_p": 0.9
        }),
    );
    write(
        "tokenizer_config.json",
        serde_json::json!({
            "bos_token": {"content": "<|begin_of_text|>"},
            "eos_token": "<|eot_id|>",
            "added_tokens_decoder": {"5": {"content": "<|eot_id|>"}},
            "chat_template": [{"name": "default", "template": "<|start_header_id|>"}],
        }),
    );
    let module = module(folder.path(), &Options::default()).unwrap();
    let (name, bytes) = module.assets.last().unwrap();
    assert_eq!(name, "chat.json");
    let chat: Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(chat["tokens"]["stop"], serde_json::json!([2, 5, 9]));
    assert_eq!(chat["tokens"]["add_bos"], true);
    assert_eq!(chat["generation"]["temperature"], 0.6);
    assert_eq!(chat["generation"]["top_p"], 0.9);
    assert_eq!(chat["chat"]["format"], "llama3");
    assert_eq!(chat["chat"]["assistant"]["suffix"], "<|eot_id|>");
}
