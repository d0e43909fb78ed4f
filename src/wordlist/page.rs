//! The page of a difference: for planners, in English and Chinese, who look at it in a browser or a pull request.

use super::diff::{Change, Diff, Line};

/// Light or dark, as the reader's system is. No script, and nothing from elsewhere.
const STYLE: &str = "\
:root{color-scheme:light dark;--line:#ddd;--soft:#666;--add:#080;--del:#b00}
@media (prefers-color-scheme: dark){:root{--line:#444;--soft:#aaa;--add:#6d6;--del:#f77}}
body{font:15px/1.6 system-ui,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th,summary,small{color:var(--soft);font-weight:normal}
.n{text-align:right;font-variant-numeric:tabular-nums}
.add td:first-child::before{content:'+ ';color:var(--add)}
.del td:first-child::before{content:'- ';color:var(--del)}
summary{cursor:pointer}
li{white-space:pre-wrap}";

impl Diff {
    /// The report as a page of its own.
    pub fn to_html(&self) -> String {
        let count = |added: usize, removed: usize| format!("{added} added, {removed} removed");
        let entries: String = [
            lines(&self.added, "add"),
            lines(&self.removed, "del"),
            phrases(&self.allowed, "add"),
            phrases(&self.disallowed, "del"),
            phrases(&self.policy_added, "add"),
            phrases(&self.policy_removed, "del"),
        ]
        .concat();
        let summary =
            count(self.added.len() + self.allowed.len(), self.removed.len() + self.disallowed.len());
        let gone: Vec<String> = self.files_gone.iter().map(|name| escape(name)).collect();
        let gone = match gone[..] {
            [] => String::new(),
            _ => format!("<p><strong>Files gone · 消失的文件</strong>: {}</p>", gone.join(", ")),
        };
        let heads = "<tr><th>entry · 词条<th>list · 词表<th class=n>severity · 等级<th>does · 处理</tr>";
        let body = [
            format!(
                "<h1>Wordlist changes · 词表变更</h1><p>{summary}; {} texts judged by both lists.",
                self.texts
            ),
            format!(" <small>新旧词表都判断了 {} 条文本。</small></p>{gone}", self.texts),
            format!("<h2>Entries · 词条</h2><table>{heads}{entries}</table>"),
            format!("<h2>Would newly be hit · 将会命中</h2>{}", changes(&self.newly_hit)),
            format!("<h2>Would newly pass · 将会放行</h2>{}", changes(&self.newly_passing)),
        ]
        .concat();
        let head = "<meta charset=utf-8><meta name=viewport content='width=device-width'>";
        format!(
            "<!doctype html><html lang=en>{head}<title>Wordlist changes · 词表变更</title><style>{STYLE}</style>{body}</html>\n"
        )
    }
}

fn lines(lines: &[Line], class: &str) -> String {
    let row = |line: &Line| {
        let (entry, category) = (escape(&line.entry), escape(&line.category));
        format!(
            "<tr class={class}><td>{entry}<td>{category}<td class=n>{}<td>{}</tr>",
            line.severity, line.action
        )
    };
    lines.iter().map(row).collect()
}

fn phrases(phrases: &[String], class: &str) -> String {
    let row = |phrase: &String| {
        format!("<tr class={class}><td>{}<td>allow · 放行<td class=n><td>pass</tr>", escape(phrase))
    };
    phrases.iter().map(row).collect()
}

/// Each with its texts, which open in place.
fn changes(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "<p>None. · 无。</p>".to_owned();
    }
    let row = |change: &Change| {
        let texts: String = change.samples.iter().map(|text| format!("<li>{}", escape(text))).collect();
        let first = change.samples.first().map(|text| escape(text)).unwrap_or_default();
        let (entry, category) = (escape(&change.entry), escape(&change.category));
        format!(
            "<tr><td>{entry}<td>{category}<td class=n>{}<td class=n>{}<td><details><summary>{first}</summary><ul>{texts}</ul></details></tr>",
            change.severity, change.texts,
        )
    };
    let rows: String = changes.iter().map(row).collect();
    format!(
        "<table><tr><th>entry · 词条<th>list · 词表<th class=n>severity · 等级<th class=n>texts · 文本数<th>for example · 例如</tr>{rows}</table>"
    )
}

/// Texts are players' own: in a page they must stay text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
