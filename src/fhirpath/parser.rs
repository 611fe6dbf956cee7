//! Tokens to tree: operator precedence as in <http://hl7.org/fhirpath/N1/#operator-precedence>.

use std::str::FromStr;

use rust_decimal::Decimal;

use super::ParseError;
use super::ast::{Ast, Literal, Name, Operator, TypeSpec};
use super::function::Function;
use super::lexer::{Token, tokens};
use super::quantity::calendar_unit;
use super::temporal::Time;
use crate::fhir::date::PartialDate;

/// Longest text that is read at all; the longest search parameter of R4 has 1 900 characters.
const MAX_LENGTH: usize = 16 * 1024;
/// Deepest tree: bounds the recursion of parser, evaluator and drop.
const MAX_DEPTH: usize = 120;

/// How tightly each operator binds, loosest first.
const IMPLIES: u8 = 1;
const OR: u8 = 2;
const AND: u8 = 3;
const MEMBERSHIP: u8 = 4;
const EQUALITY: u8 = 5;
const INEQUALITY: u8 = 6;
const UNION: u8 = 7;
const TYPE: u8 = 8;
const ADDITIVE: u8 = 9;
const MULTIPLICATIVE: u8 = 10;
const POLARITY: u8 = 11;

pub(crate) fn parse(text: &str) -> Result<Ast, ParseError> {
    if text.len() > MAX_LENGTH {
        return Err(ParseError {
            at: 0,
            message: format!("longer than {MAX_LENGTH} bytes"),
        });
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
    };
    let (ast, _) = parser.expression(0, 0)?;
    match parser.peek() {
        Token::End => Ok(ast),
        _ => parser.fail("an operator or the end is missing here"),
    }
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
}

/// A tree and its height.
type Tree = (Ast, usize);

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.at)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn fail<T>(&self, message: &str) -> Result<T, ParseError> {
        let last = self.tokens.last().map_or(0, |(_, at)| *at);
        let at = self.tokens.get(self.at).map_or(last, |(_, at)| *at);
        Err(ParseError {
            at,
            message: message.to_owned(),
        })
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(found) if *found == symbol);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), ParseError> {
        if self.take(symbol) {
            Ok(())
        } else {
            self.fail(&format!("{symbol} is missing here"))
        }
    }

    /// One level above trees of this height, or an error where that is too deep.
    fn above(&self, height: usize) -> Result<usize, ParseError> {
        if height + 1 > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        Ok(height + 1)
    }

    /// An expression of operators that bind tighter than `least`; `depth` is of the parser itself.
    fn expression(&mut self, least: u8, depth: usize) -> Result<Tree, ParseError> {
        let depth = self.above(depth)?;
        let mut left = self.unary(depth)?;
        loop {
            if let Token::Name(word) = self.peek()
                && (word == "is" || word == "as")
                && TYPE > least
            {
                let is = word == "is";
                self.at += 1;
                let spec = self.type_spec()?;
                let height = self.above(left.1)?;
                let inner = Box::new(left.0);
                left = (
                    if is {
                        Ast::Is(inner, spec)
                    } else {
                        Ast::As(inner, spec)
                    },
                    height,
                );
                continue;
            }
            let Some((operator, power)) = self.operator() else {
                return Ok(left);
            };
            if power <= least {
                return Ok(left);
            }
            self.at += 1;
            let right = self.expression(power, depth)?;
            let height = self.above(left.1.max(right.1))?;
            left = (
                Ast::Binary(operator, Box::new(left.0), Box::new(right.0)),
                height,
            );
        }
    }

    fn operator(&self) -> Option<(Operator, u8)> {
        Some(match self.peek() {
            Token::Symbol(symbol) => match *symbol {
                "*" => (Operator::Multiply, MULTIPLICATIVE),
                "/" => (Operator::Divide, MULTIPLICATIVE),
                "+" => (Operator::Add, ADDITIVE),
                "-" => (Operator::Subtract, ADDITIVE),
                "&" => (Operator::Concatenate, ADDITIVE),
                "|" => (Operator::Union, UNION),
                "<=" => (Operator::LessOrEqual, INEQUALITY),
                "<" => (Operator::Less, INEQUALITY),
                ">" => (Operator::Greater, INEQUALITY),
                ">=" => (Operator::GreaterOrEqual, INEQUALITY),
                "=" => (Operator::Equal, EQUALITY),
                "~" => (Operator::Equivalent, EQUALITY),
                "!=" => (Operator::NotEqual, EQUALITY),
                "!~" => (Operator::NotEquivalent, EQUALITY),
                _ => return None,
            },
            Token::Name(word) => match word.as_str() {
                "div" => (Operator::Div, MULTIPLICATIVE),
                "mod" => (Operator::Mod, MULTIPLICATIVE),
                "in" => (Operator::In, MEMBERSHIP),
                "contains" => (Operator::Contains, MEMBERSHIP),
                "and" => (Operator::And, AND),
                "or" => (Operator::Or, OR),
                "xor" => (Operator::Xor, OR),
                "implies" => (Operator::Implies, IMPLIES),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn unary(&mut self, depth: usize) -> Result<Tree, ParseError> {
        for (symbol, wrap) in [("-", Ast::Negate as fn(Box<Ast>) -> Ast), ("+", Ast::Plus)] {
            if self.take(symbol) {
                let (inner, height) = self.expression(POLARITY, depth)?;
                return Ok((wrap(Box::new(inner)), self.above(height)?));
            }
        }
        let mut left = self.term(depth)?;
        loop {
            if self.take(".") {
                left = self.invocation(Some(left), depth)?;
            } else if self.take("[") {
                let (index, height) = self.expression(0, depth)?;
                self.expect("]")?;
                let height = self.above(left.1.max(height))?;
                left = (Ast::At(Box::new(left.0), Box::new(index)), height);
            } else {
                return Ok(left);
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Tree, ParseError> {
        let leaf = |ast| Ok((ast, 1));
        match self.peek().clone() {
            Token::Symbol("(") => {
                self.at += 1;
                let inner = self.expression(0, depth)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Symbol("{") => {
                self.at += 1;
                self.expect("}")?;
                leaf(Ast::Literal(Literal::Empty))
            }
            Token::String(text) => {
                self.at += 1;
                leaf(Ast::Literal(Literal::String(text)))
            }
            Token::Number(text) => {
                let number = self.number(&text)?;
                leaf(Ast::Literal(number))
            }
            Token::Date(text) => {
                let literal = match text.strip_prefix('T') {
                    Some(time) => Time::parse(time).map(Literal::Time),
                    None if text.contains('T') => {
                        PartialDate::parse_fhirpath(&text).map(Literal::DateTime)
                    }
                    None => PartialDate::parse_date(&text).map(Literal::Date),
                };
                let Some(literal) = literal else {
                    return self.fail("no date or time");
                };
                self.at += 1;
                leaf(Ast::Literal(literal))
            }
            Token::Variable(name) => {
                self.at += 1;
                leaf(Ast::Variable(name))
            }
            Token::Special(name) => {
                let ast = match name.as_str() {
                    "this" => Ast::This,
                    "index" => Ast::Index,
                    "total" => Ast::Total,
                    _ => return self.fail("only $this, $index and $total exist"),
                };
                self.at += 1;
                leaf(ast)
            }
            Token::Name(word) if word == "true" || word == "false" => {
                self.at += 1;
                leaf(Ast::Literal(Literal::Boolean(word == "true")))
            }
            Token::Name(_) | Token::Quoted(_) => self.invocation(None, depth),
            Token::Symbol(_) | Token::End => self.fail("an expression is missing here"),
        }
    }

    /// A number, with the unit that may follow it.
    fn number(&mut self, text: &str) -> Result<Literal, ParseError> {
        let Ok(decimal) = Decimal::from_str_exact(text) else {
            return self.fail("a number with too many digits");
        };
        let start = self.at;
        self.at += 1;
        let unit = match self.peek() {
            Token::String(unit) => Some(unit.clone()),
            Token::Name(word) => calendar_unit(word).map(str::to_owned),
            _ => None,
        };
        if let Some(unit) = unit {
            self.at += 1;
            return Ok(Literal::Quantity(decimal, unit));
        }
        if text.contains('.') {
            return Ok(Literal::Decimal(decimal));
        }
        match i64::from_str(text) {
            Ok(integer) => Ok(Literal::Integer(integer)),
            Err(_) => {
                self.at = start;
                self.fail("a number with too many digits")
            }
        }
    }

    /// A member or a function call, on `input` or at the start of an expression.
    fn invocation(&mut self, input: Option<Tree>, depth: usize) -> Result<Tree, ParseError> {
        let place = self.at;
        let (name, quoted) = match self.next() {
            Token::Name(name) => (name, false),
            Token::Quoted(name) => (name, true),
            Token::Special(name) if name == "this" && input.is_some() => {
                // `a.$this` is in the grammar and means `a`.
                return input.map_or_else(|| self.fail("a name is missing here"), Ok);
            }
            _ => {
                self.at = place;
                return self.fail("a name is missing here");
            }
        };
        if quoted || !self.take("(") {
            let name = Name::new(name);
            return match input {
                Some((input, height)) => {
                    Ok((Ast::Member(Box::new(input), name), self.above(height)?))
                }
                None => Ok((Ast::Start(name), 1)),
            };
        }
        let below = input.as_ref().map_or(0, |(_, height)| *height);
        if matches!(name.as_str(), "is" | "as" | "ofType") {
            let spec = self.type_spec()?;
            self.expect(")")?;
            let inner = Box::new(input.map_or(Ast::This, |(ast, _)| ast));
            let ast = if name == "is" {
                Ast::Is(inner, spec)
            } else {
                Ast::As(inner, spec)
            };
            return Ok((ast, self.above(below)?));
        }
        let Some((function, least, most)) = Function::find(&name) else {
            self.at = place;
            return self.fail(&format!("no function is called {name}"));
        };
        let (mut arguments, mut height) = (Vec::new(), below);
        if !self.take(")") {
            loop {
                let (argument, its) = self.expression(0, depth)?;
                arguments.push(argument);
                height = height.max(its);
                if !self.take(",") {
                    self.expect(")")?;
                    break;
                }
            }
        }
        if !(least..=most).contains(&arguments.len()) {
            self.at = place;
            return self.fail(&format!("{name} takes {least} to {most} arguments"));
        }
        let input = input.map(|(ast, _)| Box::new(ast));
        Ok((Ast::Call(input, function, arguments), self.above(height)?))
    }

    fn type_spec(&mut self) -> Result<TypeSpec, ParseError> {
        let first = self.type_name()?;
        if self.peek() == &Token::Symbol(".") && (first == "FHIR" || first == "System") {
            self.at += 1;
            return Ok(TypeSpec {
                namespace: Some(first),
                name: self.type_name()?,
            });
        }
        Ok(TypeSpec {
            namespace: None,
            name: first,
        })
    }

    fn type_name(&mut self) -> Result<String, ParseError> {
        match self.next() {
            Token::Name(name) | Token::Quoted(name) => Ok(name),
            _ => {
                self.at -= 1;
                self.fail("a type's name is missing here")
            }
        }
    }
}
