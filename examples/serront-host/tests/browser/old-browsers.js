// Checks a script against a browser from the beginning of 2019. Prints each part that it would not understand on a line.
//
//   node old-browsers.js FOLDER_WITH_NODE_MODULES SCRIPT
//
// - The grammar: ECMAScript 2018, by acorn. A script with one newer token does not run at all.
// - The names: everything that it uses of the language or the browser must exist, by MDN's data. A name that any old interface
//   has passes, even if another one is meant. The meaning of options and attribute values is not checked.
// - The promises: a chain ends with a catch, and an await is within a try, so that no failure is silent.
"use strict";

const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const [folder, file] = process.argv.slice(2);
const from = createRequire(join(folder, "node_modules", "here.js"));
const acorn = from("acorn");
const walk = from("acorn-walk");
const { api, javascript } = from("@mdn/browser-compat-data");

// The browsers on phones in Indonesia at the beginning of 2019.
const OLDEST = { chrome_android: 72, webview_android: 72, firefox: 65, safari_ios: 12 };
// Names of newer browsers, whose existence the script checks before it uses them.
const ASKED_FOR = new Set(["clipboard", "writeText"]);

const found = [];
const source = readFileSync(file, "utf8");

function tell(node, text) {
  found.push(`${file}:${node.loc.start.line}: ${text}`);
}

let program;
try {
  program = acorn.parse(source, { ecmaVersion: 2018, sourceType: "script", locations: true });
} catch (error) {
  console.log(`${file}: ${error.message} in ECMAScript 2018`);
  process.exit(1);
}

// Whether all of the oldest browsers have the feature of this entry in MDN's data.
function isOld(entry) {
  const support = entry && entry.__compat && entry.__compat.support;
  if (!support) return false;
  return Object.keys(OLDEST).every((browser) => {
    const statements = [].concat(support[browser] || []);
    return statements.some((statement) => {
      const since = Number.parseFloat(String(statement.version_added).replace("≤", ""));
      return since <= OLDEST[browser] && !statement.version_removed && !statement.flags && !statement.prefix;
    });
  });
}

const interfaces = [...Object.values(api), ...Object.values(javascript.builtins)];

// `undefined` if the browser has no such name, as for names of the page.
function isOldMember(object, name) {
  // For `URL` or `Promise` the interface is known.
  const known = object.type === "Identifier" && /^[A-Z]/.test(object.name) && (api[object.name] || javascript.builtins[object.name]);
  const entries = (known ? [known] : interfaces).flatMap((all) => [all[name], all[`${name}_static`]]);
  const described = entries.filter((entry) => entry && entry.__compat);
  return described.length === 0 ? undefined : described.some(isOld);
}

function isOldGlobal(name) {
  const entries = [api.Window[name], api[name], api[`${name}_static`], javascript.builtins[name]].filter(Boolean);
  return entries.length === 0 ? undefined : entries.some(isOld);
}

const declared = new Set();
// The names of the elements' data.
const data = new Set();
const isDataset = (node) => node.type === "MemberExpression" && ["dataset", "style"].includes(node.property.name);
walk.full(program, (node) => {
  if (node.type === "VariableDeclarator" && node.init && isDataset(node.init)) data.add(node.id.name);
});
walk.full(program, (node) => {
  const patterns = [node.id, ...(node.params || []), node.type === "CatchClause" && node.param].filter(Boolean);
  for (const pattern of patterns) walk.full(pattern, (name) => name.name && declared.add(name.name), walk.base, null, null);
});

walk.fullAncestor(program, (node, _state, ancestors) => {
  const above = ancestors.slice(0, -1).reverse();
  if (node.type === "MemberExpression" && !node.computed) {
    const name = node.property.name;
    // A data attribute belongs to the page, and a style is no method.
    const isData = isDataset(node.object) || data.has(node.object.name);
    if (!isData && isOldMember(node.object, name) === false && !ASKED_FOR.has(name)) tell(node, `.${name} came later than 2019`);
  }
  if (node.type === "Identifier" && !declared.has(node.name) && isOldGlobal(node.name) === false && !ASKED_FOR.has(node.name)) {
    tell(node, `${node.name} came later than 2019`);
  }
  if (node.type === "Literal" && node.regex && /\(\?<[=!]/.test(node.regex.pattern)) {
    tell(node, "an expression that looks back came later than 2019");
  }
  if (node.type === "AwaitExpression") {
    const isTried = above.some((outer, nth) => outer.type === "TryStatement" && outer.handler && above[nth - 1] === outer.block);
    if (!isTried) tell(node, "what is awaited is in no try");
  }
  if (node.type === "ExpressionStatement" && isChain(node.expression) && called(node.expression) !== "catch") {
    tell(node, "a promise is left without a catch");
  }
});

// The name of the called method.
function called(node) {
  return node.type === "CallExpression" && node.callee.type === "MemberExpression" ? node.callee.property.name : undefined;
}

// Whether this chain of calls contains `then`.
function isChain(node) {
  if (!called(node)) return false;
  return called(node) === "then" || isChain(node.callee.object);
}

for (const line of found) console.log(line);
process.exit(found.length === 0 ? 0 : 1);
